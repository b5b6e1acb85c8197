/* sluice admin: the group's table, its help in the three forms, and what its commands share. */
#include "clients/cli/admin.h"

#include "broker/base/folder.h"
#include "clients/cli/commands.h"
#include "clients/cli/flags.h"
#include "clients/cli/help.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct cli_admin_command *const commands[] = {
    &slu_cli_admin_backup,
    &slu_cli_admin_check,
    &slu_cli_admin_export,
    &slu_cli_admin_import,
};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]), PROGRESS_MS = 100 };

static const char about[] =
    "Looks after what a broker keeps on disk. These commands work on the data folder itself, so they need no "
    "connection "
    "and no token, only the right to read its files; the broker may go on meanwhile, but for import.\n"
    "\n"
    "Without --data the folder is the broker's default one: $STATE_DIRECTORY, else /var/lib/sluice for root, else "
    "$XDG_STATE_HOME/sluice or ~/.local/state/sluice; ./sluice-data where only that one is there. Which one was taken "
    "is "
    "said.\n"
    "\n"
    "To put a backup back: stop the broker, move sluice.db, sluice.db-wal and sluice.db-shm away, copy the backup to "
    "sluice.db in that folder, start the broker. It begins new epochs: readers learn that what came after the backup "
    "is "
    "gone, and none is given other messages under its old position.";

static const char examples[] = "  sluice admin backup --data /var/lib/sluice /backup/sluice.db\n"
                               "  sluice admin check\n"
                               "  sluice admin export --filter 'prices/#' prices.jsonl\n"
                               "  sluice admin import --data /srv/new all.jsonl\n";

/* ---- help ---- */

static void print_text(FILE *out)
{
    fprintf(out, "Usage: sluice admin COMMAND [options] [arguments]\n\n%s\n\nCommands:\n", about);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\nExamples:\n%s\n`sluice admin COMMAND --help` says more about each.\n", examples);
}

/* One page for the whole group. */
static void print_manual(FILE *out)
{
    slu_cli_man_head(out, "sluice-admin", "look after a broker's data folder", "COMMAND [options] [arguments]");
    slu_cli_man_text(out, "DESCRIPTION", about);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const struct cli_help *h = commands[i]->help;
        char title[128];
        snprintf(title, sizeof(title), "sluice %s %s", h->name, h->synopsis);
        slu_cli_man_text(out, title, h->about);
        slu_cli_man_flags(out, NULL, h->flags);
    }
    slu_cli_man_flags(out, "GLOBAL OPTIONS", slu_cli_global_flags);
    slu_cli_man_literal(out, "EXAMPLES", examples);
    fputs(".SH SEE ALSO\n.BR sluice (1)\nhas the environment and the exit codes;\n.BR sluiced (8)\nis the broker.\n",
          out);
}

static void print_names(FILE *out)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "%s:%s\n", commands[i]->name, commands[i]->summary);
}

static int usage(const char *wrong)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (size_t i = 0; i < N_COMMANDS; i++)
        slu_cli_nearer(wrong, commands[i]->name, &best, &nearest);
    fprintf(stderr, "sluice admin: there is no command '%s'", wrong);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fprintf(stderr, "\nTry 'sluice admin --help'.\n");
    return CLI_USAGE;
}

int slu_cli_admin(struct cli *cli, int argc, char **argv)
{
    static void (*const forms[])(FILE * out) = { print_text, print_manual, print_names };
    if (argc < 2) {
        print_text(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        forms[cli->help_form](stdout);
        return CLI_OK;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(cli, argc - 1, argv + 1);
    }
    return usage(argv[1]);
}

/* ---- what the commands share ---- */

bool slu_cli_admin_folder(struct cli *cli, const char *given, char *out, size_t cap)
{
    char local[32];
    if (given) {
        snprintf(out, cap, "%s", given);
        return true;
    }
    bool found = slu_data_folder(false, out, cap);
    slu_data_folder(true, local, sizeof(local));
    if ((!found || access(out, F_OK) != 0) && access(local, F_OK) == 0) {
        snprintf(out, cap, "%s", local);
        found = true;
    }
    if (found)
        slu_cli_note(cli, "the data folder is %s", out);
    else
        slu_cli_error(cli, "no data folder: name one with --data");
    return found;
}

static volatile sig_atomic_t was_signalled;

static void on_signal(int signal)
{
    (void)signal;
    was_signalled = 1;
}

/* The loop's way of taking signals would not end a read that waits for more input. The second signal is meant at once. */
void slu_cli_work_start(struct cli_work *w, struct cli *cli, const char *verb, const char *unit)
{
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    *w = (struct cli_work){ .cli = cli, .verb = verb, .unit = unit };
    slu_buf_init(&w->why, 0);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

bool slu_cli_work_tick(void *work, uint64_t done, uint64_t total)
{
    struct cli_work *w = work;
    char text[128];
    uint64_t now = slu_cli_now_ms();
    if (now - w->told_ms < PROGRESS_MS && done != total)
        return !was_signalled;
    w->told_ms = now;
    if (total)
        snprintf(text, sizeof(text), "%s %" PRIu64 " of %" PRIu64 " %s (%u %%)", w->verb, done, total, w->unit,
                 (unsigned)(done < total ? (double)done / (double)total * 100 : 100));
    else
        snprintf(text, sizeof(text), "%s %" PRIu64 " %s", w->verb, done, w->unit);
    slu_cli_progress(w->cli, text);
    return !was_signalled;
}

void slu_cli_work_line(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
    fputc('\n', out);
}

int slu_cli_work_end(struct cli_work *w, enum slu_err err)
{
    slu_cli_progress(w->cli, NULL);
    if (err && !was_signalled)
        slu_cli_error(w->cli, "%.*s", (int)(w->why.len ? w->why.len : strlen(slu_err_info(err)->message)),
                      w->why.len ? (const char *)w->why.data : slu_err_info(err)->message);
    slu_buf_fini(&w->why);
    if (err)
        return was_signalled ? CLI_SIGNAL : CLI_LOCAL;
    return fflush(stdout) == 0 ? CLI_OK : CLI_LOCAL;
}

uint64_t slu_cli_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *slu_cli_size(char *out, size_t cap, uint64_t bytes)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double v = (double)bytes;
    unsigned i = 0;
    for (; v >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
        v /= 1024;
    snprintf(out, cap, i ? "%.1f %s" : "%.0f %s", v, units[i]);
    return out;
}
