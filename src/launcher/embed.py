#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py PROGRAM OUTPUT.c: the bytes of PROGRAM as the definitions of program.h."""

import sys

with open(sys.argv[1], "rb") as f:
    program = f.read()
with open(sys.argv[2], "w", encoding="ascii") as out:
    out.write('#include "launcher/program.h"\n')
    out.write("const unsigned char launcher_program[] = {\n")
    for at in range(0, len(program), 16):
        out.write(" ".join(f"{byte}," for byte in program[at : at + 16]) + "\n")
    out.write("};\nconst size_t launcher_program_size = sizeof(launcher_program);\n")
