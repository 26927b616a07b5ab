/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a C++ program leans on: exceptions through frames of a library found by $ORIGIN, type information, static objects, dlopen.
 */
#include <dlfcn.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

void thrown_by_library(int depth);

namespace
{
struct Global {
	std::string text;
	Global() : text("made")
	{
	}
	~Global()
	{
		std::puts("global gone");
	}
} global;

int caught(int depth)
{
	try {
		thrown_by_library(depth);
	} catch (const std::out_of_range &e) {
		std::printf("caught %s\n", e.what());
		return 1;
	} catch (const std::exception &e) {
		std::printf("wrong kind %s\n", e.what());
	}
	return 0;
}
} // namespace

int main()
{
	void *lib = dlopen("libthrows-extra.so", RTLD_NOW);
	int (*extra)(int) = nullptr;

	std::printf("%s\n", global.text.c_str());
	if (lib)
		extra = reinterpret_cast<int (*)(int)>(dlsym(lib, "extra"));
	std::printf("dlopen %d, extra %d\n", lib != nullptr, extra ? extra(20) : -1);
	return caught(3) + caught(50);
}
