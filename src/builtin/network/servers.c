/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"
#define LINE_BYTES 1024u /* longer ones are cut */

static void add_server(struct servers *s, const char *word)
{
	if (s->n < NET_SERVERS_MAX && net_server_parse(word, &s->servers[s->n], NULL) == 0)
		s->n++;
}

/* "search" and "domain": the last of them counts. */
static void set_domains(struct servers *s, char *words)
{
	char *rest;

	s->n_domains = 0;
	for (char *w = strtok_r(words, BLANKS, &rest); w && s->n_domains < SERVERS_DOMAINS_MAX;
	     w = strtok_r(NULL, BLANKS, &rest)) {
		if (strlen(w) <= NET_HOST_MAX && strcmp(w, ".") != 0)
			snprintf(s->domains[s->n_domains++], sizeof(s->domains[0]), "%s", w);
	}
}

static void set_options(struct servers *s, char *words)
{
	char *rest;

	for (char *w = strtok_r(words, BLANKS, &rest); w; w = strtok_r(NULL, BLANKS, &rest)) {
		unsigned long n;

		if (strncmp(w, "ndots:", 6) != 0)
			continue;
		n = strtoul(w + 6, NULL, 10);
		s->ndots = n < SERVERS_NDOTS_MAX ? (unsigned)n : SERVERS_NDOTS_MAX;
	}
}

static void read_line(struct servers *s, char *line)
{
	char *rest, *word = strtok_r(line, BLANKS, &rest), *value;

	if (!word || *word == '#' || *word == ';')
		return;
	if (!strcmp(word, "nameserver")) {
		value = strtok_r(NULL, BLANKS, &rest);
		if (value)
			add_server(s, value);
	} else if (!strcmp(word, "search") || !strcmp(word, "domain")) {
		set_domains(s, rest);
	} else if (!strcmp(word, "options")) {
		set_options(s, rest);
	}
}

void servers_given(const struct net_server *servers, size_t n, struct servers *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ndots = 1;
	ret->n = n;
	for (size_t i = 0; i < n; i++)
		ret->servers[i] = servers[i];
}

void servers_read(const char *text, struct servers *ret)
{
	servers_given(NULL, 0, ret);
	while (*text) {
		size_t n = strcspn(text, "\n");
		char line[LINE_BYTES];

		snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1),
			 text);
		read_line(ret, line);
		text += n + (text[n] == '\n');
	}
	if (!ret->n)
		add_server(ret, "127.0.0.1");
}
