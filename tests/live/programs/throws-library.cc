/* SPDX-License-Identifier: Apache-2.0 */
/* The library of throws.cc. */
#include <stdexcept>
#include <string>

void thrown_by_library(int depth);

void thrown_by_library(int depth)
{
	std::string held(static_cast<std::size_t>(depth), 'x');

	if (depth == 0)
		throw std::out_of_range("from the library");
	thrown_by_library(depth - 1);
	held.at(0) = 'y';
}
