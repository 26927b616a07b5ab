/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest guest: linked statically, so that its own start and memory are next to nothing. Without arguments it succeeds at once. `pause` waits
 * until it is killed; `call` makes one AREA_NR_PROMPT call first.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "area.h"

int main(int argc, char *argv[])
{
	if (argc < 2)
		return 0;
	if (!strcmp(argv[1], "call"))
		syscall(AREA_NR_PROMPT, 0, 0);
	for (;;)
		pause();
}
