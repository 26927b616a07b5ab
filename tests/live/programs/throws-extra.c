/* SPDX-License-Identifier: Apache-2.0 */
/* What throws.cc opens by name. */
int extra(int n);

int extra(int n)
{
	return n + 1;
}
