/* What every sub-command of `sluice` shares: exit codes, table-driven flags, the connection, output rules.
 * A command is one file with one entry point and one row in the command table. It prints data on stdout only; all else
 * goes to stderr through slu_cli_note and slu_cli_error. */
#pragma once

#include "clients/c/include/sluice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ev_loop;

enum cli_exit {
    CLI_OK = 0,
    CLI_BROKER = 1,  /* the broker refused, or the connection was lost for good */
    CLI_USAGE = 2,   /* the command line is not valid */
    CLI_CONNECT = 3, /* no connection */
    CLI_TIMEOUT = 4, /* -W ran out, or no answer came in time */
    CLI_LOCAL = 5,   /* a file, a command or memory on this side */
    CLI_SIGNAL = 130 /* ended by SIGINT */
};

enum cli_flag_kind {
    CLI_BOOL,    /* bool */
    CLI_STR,     /* const char * */
    CLI_U64,     /* uint64_t */
    CLI_DOUBLE,  /* double, not negative */
    CLI_SECONDS, /* double; 10, 1.5, 200ms, 2m, 1h, 7d */
    CLI_COUNT,   /* int, one more each time */
    CLI_LIST     /* struct cli_list */
};

enum { CLI_LIST_MAX = 256 };

struct cli_list {
    size_t n;
    const char *v[CLI_LIST_MAX];
};

/* One flag. A table ends with a row whose name is NULL. `at` is the field's offset in the command's argument struct, of
 * the type that the kind says; the field keeps its value (the default) when the flag is not given. */
struct cli_flag {
    const char *name; /* long name without dashes */
    char letter;      /* 0 = none */
    enum cli_flag_kind kind;
    size_t at;
    const char *arg;  /* what the help calls the value; NULL for BOOL and COUNT */
    const char *help; /* one sentence; "\n" starts a new line */
};

/* What `sluice help CMD` says; the flag table comes with it. */
struct cli_help {
    const char *name;
    const char *synopsis; /* arguments only: "[options] TOPIC [MESSAGE]" */
    const char *about;    /* a paragraph or two */
    const struct cli_flag *flags;
    const char *examples; /* lines, each with its own indent */
};

enum cli_help_form { CLI_HELP_TEXT, CLI_HELP_MAN, CLI_HELP_NAMES };

/* One invocation. */
struct cli {
    /* global flags */
    const char *server, *token, *ca, *name;
    bool insecure, quiet;
    int verbose;

    enum cli_help_form help_form; /* of `sluice help`: text, manual page source, flag names for completion */
    bool out_tty, err_tty, color_out, color_err;
    struct ev_loop *loop; /* the default loop; SIGINT and SIGTERM stop it and set `interrupted` */
    bool interrupted;
    sluice_client *client; /* made by slu_cli_open */
    int exit_code;         /* what slu_cli_stop said */
    bool stopping, connected, was_connected;
    bool closing; /* in slu_cli_close: what still comes is not for the user any more */

    /* A command may set these before slu_cli_open; arg is its own. */
    void *arg;
    void (*on_room)(struct cli *cli);
    void (*on_up)(struct cli *cli);   /* connected, each time */
    void (*on_down)(struct cli *cli); /* lost, will reconnect */
};

/* Parses flags (global ones too, in any place) into `into` by `flags`; positional arguments are left in argv[0..*n_pos)
 * in order. `--` ends the flags. False: said on stderr what is wrong (or printed --help): return *code. */
bool slu_cli_parse(struct cli *cli, const struct cli_help *help, void *into, int argc, char **argv, int *n_pos,
                   int *code);
void slu_cli_print_help(FILE *out, const struct cli_help *help);
/* "sluice pub: …" and where to find help, on stderr; returns CLI_USAGE. */
int slu_cli_usage(const struct cli_help *help, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes cli->loop, for commands that need it before slu_cli_open or do not call that. False: no memory (said). */
bool slu_cli_make_loop(struct cli *cli);
/* Makes cli->client and runs the loop until it is connected. CLI_OK, or the code to exit with (said on stderr). From then
 * on a lost connection is made again by itself. */
int slu_cli_open(struct cli *cli);
/* Runs the loop until slu_cli_stop, a signal, or the connection is gone for good. wait_s > 0: at most so long, then
 * CLI_TIMEOUT. Returns the code to exit with. */
int slu_cli_run(struct cli *cli, double wait_s);
void slu_cli_stop(struct cli *cli, int code);
/* Sends what is unsent, closes, frees the client. Returns code, or CLI_SIGNAL where a signal ended the command early
 * (commands that run until Ctrl-C pass through CLI_OK by setting ends_by_signal). */
int slu_cli_close(struct cli *cli, int code, bool ends_by_signal);
/* The client's options from the global flags, for commands that make clients of their own. */
void slu_cli_options(struct cli *cli, struct sluice_client_options *o);

/* A line on stderr: note unless -q, debug with -v, error always. */
void slu_cli_note(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void slu_cli_debug(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void slu_cli_error(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Says the broker's error with code and hint; returns the exit code for it. */
int slu_cli_refused(struct cli *cli, const char *what, const struct sluice_error *e);
/* A progress line that overwrites itself, only when stderr is a terminal and not -q; NULL clears it. */
void slu_cli_progress(struct cli *cli, const char *text);

/* Entry points of the command table: argv[0] is the command's name. Each returns the exit code. */
int slu_cli_pub(struct cli *cli, int argc, char **argv);
int slu_cli_sub(struct cli *cli, int argc, char **argv);
int slu_cli_req(struct cli *cli, int argc, char **argv);
int slu_cli_reply(struct cli *cli, int argc, char **argv);
int slu_cli_history(struct cli *cli, int argc, char **argv);
int slu_cli_presence(struct cli *cli, int argc, char **argv);
int slu_cli_feed(struct cli *cli, int argc, char **argv);
int slu_cli_bench(struct cli *cli, int argc, char **argv);
int slu_cli_admin(struct cli *cli, int argc, char **argv);
