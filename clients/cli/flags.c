/* Long flags as --name VALUE or --name=VALUE, short ones as -n VALUE, -nVALUE, -abc. Flags and arguments may be mixed;
 * everything behind -- is an argument, and so is a lone -. */
#include "clients/cli/flags.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct cli_flag slu_cli_global_flags[] = {
    { "server", 's', CLI_STR, offsetof(struct cli, server), "URL",
      "broker to talk to: ws://, wss://, ws+unix: or host:port (SLUICE_URL, ws://localhost:8080/ws)" },
    { "token", 'T', CLI_STR, offsetof(struct cli, token), "TOKEN", "who you are (SLUICE_TOKEN)" },
    { "ca", 0, CLI_STR, offsetof(struct cli, ca), "FILE", "trust this certificate authority instead of the system's" },
    { "insecure", 0, CLI_BOOL, offsetof(struct cli, insecure), NULL, "do not check the broker's certificate" },
    { "name", 0, CLI_STR, offsetof(struct cli, name), "NAME", "name of this connection in the broker's console" },
    { "quiet", 'q', CLI_BOOL, offsetof(struct cli, quiet), NULL, "only errors on stderr" },
    { "verbose", 'v', CLI_COUNT, offsetof(struct cli, verbose), NULL, "say more on stderr" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

struct target {
    const struct cli_flag *flag;
    void *into;
};

enum { DISTANCE_LEN = 32 };

/* Edits (insert, delete, replace) between two short names; many when one is long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[DISTANCE_LEN + 1], la = strlen(a), lb = strlen(b);
    if (la > DISTANCE_LEN || lb > DISTANCE_LEN)
        return DISTANCE_LEN;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t old = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = old + 1 < best ? old + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = old;
        }
    }
    return row[lb];
}

void slu_cli_nearer(const char *wrong, const char *name, size_t *best, const char **nearest)
{
    size_t d = distance(wrong, name);
    if (strlen(wrong) >= 2 && strncmp(wrong, name, strlen(wrong)) == 0)
        d = 1; /* the beginning of a name is near to it */
    if (d < *best) {
        *best = d;
        *nearest = name;
    }
}

static const struct cli_flag *find_in(const struct cli_flag *flags, const char *name, size_t len, char letter)
{
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        if (name ? strlen(f->name) == len && memcmp(f->name, name, len) == 0 : f->letter == letter)
            return f;
    }
    return NULL;
}

/* The command's own flags go before the global ones of the same letter. */
static struct target find_flag(struct cli *cli, const struct cli_help *help, void *into, const char *name, size_t len,
                               char letter)
{
    const struct cli_flag *f = help ? find_in(help->flags, name, len, letter) : NULL;
    if (f)
        return (struct target){ f, into };
    return (struct target){ find_in(slu_cli_global_flags, name, len, letter), cli };
}

bool slu_cli_parse_u64(const char *text, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    uint64_t scale = *end == 'k' ? 1000 : *end == 'M' ? 1000000 : 1;
    if (scale > 1)
        end++;
    if (errno || *end || v > UINT64_MAX / scale)
        return false;
    *out = v * scale;
    return true;
}

static bool parse_double(const char *text, double *out, char **end)
{
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    errno = 0;
    double v = strtod(text, end);
    if (errno || !isfinite(v) || *end == text)
        return false;
    *out = v;
    return true;
}

bool slu_cli_parse_seconds(const char *text, double *out)
{
    static const struct {
        const char *name;
        double s;
    } units[] = { { "", 1 }, { "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
    char *end;
    double v;
    if (!parse_double(text, &v, &end))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            *out = v * units[i].s;
            return true;
        }
    }
    return false;
}

/* Stores a value; NULL, or what is wrong with it. */
static const char *store(struct target t, const char *value)
{
    void *at = (char *)t.into + t.flag->at;
    struct cli_list *list = at;
    char *end;
    switch (t.flag->kind) {
    case CLI_BOOL:
        *(bool *)at = true;
        return NULL;
    case CLI_COUNT:
        ++*(int *)at;
        return NULL;
    case CLI_STR:
        *(const char **)at = value;
        return NULL;
    case CLI_U64:
        return slu_cli_parse_u64(value, at) ? NULL : "is not a whole number";
    case CLI_DOUBLE:
        return parse_double(value, at, &end) && !*end ? NULL : "is not a number";
    case CLI_SECONDS:
        return slu_cli_parse_seconds(value, at) ? NULL : "is not a duration such as 10, 1.5, 200ms, 2m, 1h, 7d";
    case CLI_LIST:
        if (list->n == CLI_LIST_MAX)
            return "is one too many";
        list->v[list->n++] = value;
        return NULL;
    }
    return "cannot be used";
}

static bool takes_value(const struct cli_flag *f)
{
    return f->kind != CLI_BOOL && f->kind != CLI_COUNT;
}

struct parser {
    struct cli *cli;
    const struct cli_help *help; /* NULL: before the command */
    void *into;
    int argc, at;
    char **argv;
    int code;
};

__attribute__((format(printf, 2, 3))) static bool mistake(struct parser *p, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "sluice%s%s: ", p->help ? " " : "", p->help ? p->help->name : "");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry 'sluice %s%s--help'.\n", p->help ? p->help->name : "", p->help ? " " : "");
    p->code = CLI_USAGE;
    return false;
}

static bool unknown_flag(struct parser *p, const char *name)
{
    const char *nearest = NULL;
    size_t best = 4;
    char plain[DISTANCE_LEN + 1];
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(name, "="), name);
    for (const struct cli_flag *f = p->help ? p->help->flags : NULL; f && f->name; f++)
        slu_cli_nearer(plain, f->name, &best, &nearest);
    for (const struct cli_flag *f = slu_cli_global_flags; f->name; f++)
        slu_cli_nearer(plain, f->name, &best, &nearest);
    slu_cli_nearer(plain, "help", &best, &nearest);
    if (nearest)
        return mistake(p, "there is no flag --%s; did you mean --%s?", plain, nearest);
    return mistake(p, "there is no flag --%s", plain);
}

static bool wants_help(struct parser *p)
{
    if (!p->help)
        return mistake(p, "--help goes behind a command, or alone");
    slu_cli_show_help(stdout, p->cli, p->help);
    p->code = CLI_OK;
    return false;
}

static bool take_value(struct parser *p, struct target t, const char *shown, const char *value)
{
    if (!takes_value(t.flag))
        value = NULL;
    else if (!value && ++p->at == p->argc)
        return mistake(p, "%s needs a value: %s", shown, t.flag->arg);
    else if (!value)
        value = p->argv[p->at];
    const char *wrong = store(t, value);
    return !wrong || mistake(p, "%s: '%s' %s", shown, value, wrong);
}

static bool parse_long(struct parser *p, const char *arg)
{
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    char shown[DISTANCE_LEN + 3];
    if (len == 4 && memcmp(arg, "help", 4) == 0)
        return wants_help(p);
    struct target t = find_flag(p->cli, p->help, p->into, arg, len, 0);
    if (!t.flag)
        return unknown_flag(p, arg);
    snprintf(shown, sizeof(shown), "--%s", t.flag->name);
    if (equals && !takes_value(t.flag))
        return mistake(p, "%s takes no value", shown);
    return take_value(p, t, shown, equals ? equals + 1 : NULL);
}

static bool parse_letters(struct parser *p, const char *letters)
{
    for (; *letters; letters++) {
        char shown[3] = { '-', *letters, '\0' };
        struct target t = find_flag(p->cli, p->help, p->into, NULL, 0, *letters);
        if (!t.flag && *letters == 'h')
            return wants_help(p);
        if (!t.flag)
            return mistake(p, "there is no flag %s", shown);
        bool with_value = takes_value(t.flag);
        if (!take_value(p, t, shown, with_value && letters[1] ? letters + 1 : NULL))
            return false;
        if (with_value)
            return true;
    }
    return true;
}

static bool parse_one(struct parser *p)
{
    const char *arg = p->argv[p->at];
    return arg[1] == '-' ? parse_long(p, arg + 2) : parse_letters(p, arg + 1);
}

int slu_cli_leading_flags(struct cli *cli, int argc, char **argv, int *code)
{
    struct parser p = { .cli = cli, .argc = argc, .argv = argv };
    for (; p.at < argc && argv[p.at][0] == '-' && argv[p.at][1]; p.at++) {
        const char *arg = argv[p.at];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 || strcmp(arg, "--version") == 0)
            break; /* stands for a command */
        if (!parse_one(&p)) {
            *code = p.code;
            return -1;
        }
    }
    return p.at;
}

bool slu_cli_parse(struct cli *cli, const struct cli_help *help, void *into, int argc, char **argv, int *n_pos,
                   int *code)
{
    struct parser p = { .cli = cli, .help = help, .into = into, .argc = argc, .argv = argv, .at = 1 };
    int n = 0;
    bool flags = true;
    for (; p.at < argc; p.at++) {
        char *arg = argv[p.at];
        if (flags && strcmp(arg, "--") == 0) {
            flags = false;
        } else if (!flags || arg[0] != '-' || !arg[1]) {
            argv[n++] = arg;
        } else if (!parse_one(&p)) {
            *code = p.code;
            return false;
        }
    }
    *n_pos = n;
    return true;
}

int slu_cli_usage(const struct cli_help *help, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "sluice %s: ", help->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nUsage: sluice %s %s\nTry 'sluice %s --help'.\n", help->name, help->synopsis, help->name);
    return CLI_USAGE;
}
