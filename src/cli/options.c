/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <errno.h>
#include <string.h>

#include "util/fail.h"

#define HELP_INDENT 34
#define HELP_WIDTH 80
/* Words that are longer are not looked at for a likeness. */
#define LIKENESS_MAX 40
/* So many edits away a name is still thought to be meant. */
#define LIKENESS_EDITS 2

struct parse {
	const struct option_table *table;
	int argc;
	char *const *argv;
	int at; /* of the word that is parsed */
	void *target;
	struct sluice_error *err;
};

static const struct option_entry *find_name(const struct option_table *t, const char *name,
					    size_t len)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strlen(t->entries[i].name) == len && !memcmp(t->entries[i].name, name, len))
			return &t->entries[i];
	}
	return NULL;
}

static const struct option_entry *find_letter(const struct option_table *t, char letter)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->entries[i].letter == letter && letter)
			return &t->entries[i];
	}
	return NULL;
}

/* Insertions, deletions and changes that make @b of @a (Levenshtein), one row of the table at a time. */
static size_t edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[LIKENESS_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			if (change < row[j])
				row[j] = change;
		}
	}
	return row[b_len];
}

static const char *alike(const struct option_table *t, const char *name, size_t len)
{
	size_t best = LIKENESS_EDITS + 1;
	const char *found = NULL;

	for (size_t i = 0; len <= LIKENESS_MAX && i < t->n; i++) {
		const char *candidate = t->entries[i].name;
		size_t n = edits(name, len, candidate, strnlen(candidate, LIKENESS_MAX));

		if (n < best) {
			best = n;
			found = candidate;
		}
	}
	return found;
}

static int unknown(const struct parse *p, const char *flag, const char *name, size_t len)
{
	const char *likely = name ? alike(p->table, name, len) : NULL;

	fail(p->err, -EINVAL, "%s: no such flag", flag);
	if (likely)
		return fail_hint(p->err, -EINVAL, "did you mean --%s? `sluice help %s` lists all",
				 likely, p->table->command);
	return fail_hint(p->err, -EINVAL, "`sluice help %s` lists the flags; CMD follows after --",
			 p->table->command);
}

static int apply(const struct parse *p, const struct option_entry *e, const char *value)
{
	struct sluice_error inner = { 0 };
	int r = 0;

	if (e->set)
		r = e->set(p->target, value, &inner);
	else
		*(bool *)((char *)p->target + e->on) = true;
	if (r >= 0)
		return 0;
	/* text that fills its buffer ends with the reason, which must not be cut */
	if (strlen(inner.text) + strlen(e->name) + 5 > sizeof(inner.text))
		fail(p->err, r, "%s", inner.text);
	else
		fail(p->err, r, "--%s: %s", e->name, inner.text[0] ? inner.text : "can't be used");
	return inner.hint[0] ? fail_hint(p->err, r, "%s", inner.hint) : r;
}

/* The next word as the value of @e; one that looks like a flag is more likely the next flag. */
static int apply_next(struct parse *p, const struct option_entry *e)
{
	if (p->at + 1 >= p->argc || !strncmp(p->argv[p->at + 1], "--", 2)) {
		fail(p->err, -EINVAL, "--%s: its value is missing", e->name);
		return fail_hint(p->err, -EINVAL, "write --%s %s (--%s=%s if it begins with --)",
				 e->name, e->value, e->name, e->value);
	}
	return apply(p, e, p->argv[++p->at]);
}

/* May the next word be the value of a flag that can do without? Only where "--" says where the command begins. */
static bool next_is_value(const struct parse *p)
{
	if (p->at + 1 >= p->argc || p->argv[p->at + 1][0] == '-')
		return false;
	for (int i = p->at + 2; i < p->argc; i++) {
		if (!strcmp(p->argv[i], "--"))
			return true;
	}
	return false;
}

static int parse_long(struct parse *p)
{
	const char *word = p->argv[p->at], *name = word + 2;
	size_t len = strcspn(name, "=");
	const struct option_entry *e = find_name(p->table, name, len);
	char flag[2 + LIKENESS_MAX + 4];

	if (!e) {
		snprintf(flag, sizeof(flag), "%.*s",
			 (int)(len < LIKENESS_MAX ? len + 2 : LIKENESS_MAX + 2), word);
		return unknown(p, flag, name, len);
	}
	if (name[len] == '=' && !e->value)
		return fail(p->err, -EINVAL, "--%s: takes no value, %s was given", e->name,
			    name + len + 1);
	if (name[len] == '=')
		return apply(p, e, name + len + 1);
	if (!e->value || (e->optional && !next_is_value(p)))
		return apply(p, e, NULL);
	return apply_next(p, e);
}

/* One word of short flags: those without value joined, the last may have one. */
static int parse_short(struct parse *p)
{
	for (const char *c = p->argv[p->at] + 1; *c; c++) {
		const struct option_entry *e = find_letter(p->table, *c);
		char flag[3] = { '-', *c, '\0' };
		int r;

		if (!e)
			return unknown(p, flag, NULL, 0);
		if (e->value && c[1])
			return apply(p, e, c + 1);
		r = e->value ? apply_next(p, e) : apply(p, e, NULL);
		if (r < 0 || e->value)
			return r;
	}
	return 0;
}

int options_parse(const struct option_table *t, int argc, char *const argv[], void *target,
		  struct sluice_error *err)
{
	struct parse p = { .table = t, .argc = argc, .argv = argv, .target = target, .err = err };

	for (p.at = 1; p.at < argc; p.at++) {
		const char *word = argv[p.at];
		int r;

		if (!strcmp(word, "--"))
			return p.at + 1;
		if (word[0] != '-' || !word[1])
			return p.at;
		r = word[1] == '-' ? parse_long(&p) : parse_short(&p);
		if (r < 0)
			return r;
	}
	return argc;
}

/* ---- help ---- */

/* @text from column @column on, wrapped between words at HELP_WIDTH. */
static void wrap(FILE *out, const char *text, int column)
{
	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > HELP_INDENT && column + 1 + n > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		}
		column += fprintf(out, "%s%.*s", column > HELP_INDENT ? " " : "", n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void help_entry(const struct option_entry *e, FILE *out)
{
	char flags[80], text[600];
	const char *open = e->optional ? "[=" : " ", *close = e->optional ? "]" : "";
	int n;

	n = snprintf(flags, sizeof(flags), "  %c%c%s --%s%s%s%s", e->letter ? '-' : ' ',
		     e->letter ? e->letter : ' ', e->letter ? "," : " ", e->name,
		     e->value ? open : "", e->value ? e->value : "", e->value ? close : "");
	snprintf(text, sizeof(text), "%s%s%s%s%s", e->help, e->repeat ? " (repeatable)" : "",
		 e->initial ? " (default: " : "", e->initial ? e->initial : "",
		 e->initial ? ")" : "");
	if (n >= HELP_INDENT)
		fprintf(out, "%s\n%*s", flags, HELP_INDENT, "");
	else
		fprintf(out, "%-*s", HELP_INDENT, flags);
	wrap(out, text, HELP_INDENT);
}

void options_help(const struct option_table *t, FILE *out)
{
	for (size_t i = 0; i < t->n; i++)
		help_entry(&t->entries[i], out);
}
