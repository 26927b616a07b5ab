/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest program: linked statically, so that its own start costs next to nothing. */
int main(void)
{
	return 0;
}
