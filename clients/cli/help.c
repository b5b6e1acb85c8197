/* Help of a command in three forms: text, manual page, names for completion. */
#include "clients/cli/help.h"

#include "clients/cli/commands.h"
#include "clients/cli/flags.h"

#include <ctype.h>
#include <string.h>

enum { HELP_COLUMN = 30 };

/* ---- text ---- */

void slu_cli_print_flags(FILE *out, const struct cli_flag *flags)
{
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        char left[64];
        int n = snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", f->letter ? '-' : ' ', f->letter ? f->letter : ' ',
                         f->letter ? "," : " ", f->name, f->arg ? " " : "", f->arg ? f->arg : "");
        fputs(left, out);
        if (n >= HELP_COLUMN)
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        else
            fprintf(out, "%*s", HELP_COLUMN - n, "");
        for (const char *c = f->help; *c; c++) {
            fputc(*c, out);
            if (*c == '\n')
                fprintf(out, "%*s", HELP_COLUMN, "");
        }
        fputc('\n', out);
    }
}

void slu_cli_print_help(FILE *out, const struct cli_help *help)
{
    fprintf(out, "Usage: sluice %s %s\n\n%s\n", help->name, help->synopsis, help->about);
    if (help->flags && help->flags->name) {
        fputs("\nOptions:\n", out);
        slu_cli_print_flags(out, help->flags);
    }
    fputs("\nGlobal options:\n", out);
    slu_cli_print_flags(out, slu_cli_global_flags);
    if (help->examples)
        fprintf(out, "\nExamples:\n%s", help->examples);
}

/* ---- manual page ---- */

/* Text as roff: backslashes and hyphens escaped, no line begins with a control character. */
static void put_roff(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        line_start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '`')
            fputs("\\(ga", out);
        else if (*text == '\'')
            fputs("\\(aq", out);
        else
            fputc(*text, out);
    }
}

static void put_upper(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc(toupper((unsigned char)*text), out);
}

void slu_cli_man_head(FILE *out, const char *name, const char *summary, const char *synopsis)
{
    fputs(".\\\" Made by `sluice help --man`\n.TH ", out);
    put_upper(out, name);
    fprintf(out, " 1 \"\" \"Sluice %s\" \"User Commands\"\n.SH NAME\n", sluice_client_version());
    put_roff(out, name);
    fputs(" \\- ", out);
    put_roff(out, summary);
    fputs("\n.SH SYNOPSIS\n.B ", out);
    for (const char *c = name; *c; c++)
        fputc(*c == '-' ? ' ' : *c, out);
    fputc('\n', out);
    put_roff(out, synopsis);
    fputc('\n', out);
}

void slu_cli_man_text(FILE *out, const char *title, const char *text)
{
    fprintf(out, ".SH %s\n", title);
    for (const char *end; (end = strstr(text, "\n\n")); text = end + 2) {
        char paragraph[2048];
        snprintf(paragraph, sizeof(paragraph), "%.*s", (int)(end - text), text);
        put_roff(out, paragraph);
        fputs("\n.PP\n", out);
    }
    put_roff(out, text);
    if (*text && text[strlen(text) - 1] != '\n')
        fputc('\n', out);
}

void slu_cli_man_literal(FILE *out, const char *title, const char *text)
{
    fprintf(out, ".SH %s\n.nf\n", title);
    put_roff(out, text);
    fputs(".fi\n", out);
}

void slu_cli_man_flags(FILE *out, const char *title, const struct cli_flag *flags)
{
    if (title)
        fprintf(out, ".SH %s\n", title);
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        fputs(".TP\n", out);
        if (f->letter)
            fprintf(out, "\\fB\\-%c\\fR, ", f->letter);
        fputs("\\fB\\-\\-", out);
        put_roff(out, f->name);
        fputs("\\fR", out);
        if (f->arg) {
            fputs(" \\fI", out);
            put_roff(out, f->arg);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        put_roff(out, f->help);
        fputc('\n', out);
    }
}

static const char *summary_of(const char *name)
{
    for (const struct cli_command *c = slu_cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c->summary;
    }
    return name;
}

static void print_manual(FILE *out, const struct cli_help *help)
{
    char name[64];
    snprintf(name, sizeof(name), "sluice-%s", help->name);
    for (char *space = name; (space = strchr(space, ' '));)
        *space = '-'; /* a command of a group */
    slu_cli_man_head(out, name, summary_of(help->name), help->synopsis);
    slu_cli_man_text(out, "DESCRIPTION", help->about);
    if (help->flags && help->flags->name)
        slu_cli_man_flags(out, "OPTIONS", help->flags);
    slu_cli_man_flags(out, "GLOBAL OPTIONS", slu_cli_global_flags);
    if (help->examples)
        slu_cli_man_literal(out, "EXAMPLES", help->examples);
    fputs(".SH SEE ALSO\n.BR sluice (1)\nhas the environment and the exit codes.\n", out);
}

/* ---- names ---- */

static void print_names(FILE *out, const struct cli_flag *flags)
{
    for (const struct cli_flag *f = flags; f && f->name; f++)
        fprintf(out, "--%s%s:%.*s\n", f->name, f->arg ? "=" : "", (int)strcspn(f->help, "\n"), f->help);
}

void slu_cli_show_help(FILE *out, const struct cli *cli, const struct cli_help *help)
{
    switch (cli->help_form) {
    case CLI_HELP_MAN:
        print_manual(out, help);
        break;
    case CLI_HELP_NAMES:
        print_names(out, help->flags);
        print_names(out, slu_cli_global_flags);
        break;
    default:
        slu_cli_print_help(out, help);
        break;
    }
}
