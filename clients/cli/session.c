/* The connection of a command, its loop, and what it says on stderr. */
#include "clients/cli/cli.h"

#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSE_WAIT_S = 3, URL_MAX_LEN = 4096 };

static ev_signal on_int, on_term;
static ev_timer deadline;

/* ---- stderr ---- */

void slu_cli_progress(struct cli *cli, const char *text)
{
    static bool shown;
    if (!cli->err_tty || cli->quiet || (!text && !shown))
        return;
    fprintf(stderr, "\r\033[K%s", text ? text : "");
    shown = text != NULL;
}

__attribute__((format(printf, 3, 0))) static void line(struct cli *cli, const char *color, const char *fmt, va_list ap)
{
    slu_cli_progress(cli, NULL);
    fprintf(stderr, "%ssluice: ", cli->color_err ? color : "");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "%s\n", cli->color_err && *color ? "\033[0m" : "");
}

void slu_cli_note(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    if (cli->quiet)
        return;
    va_start(ap, fmt);
    line(cli, "", fmt, ap);
    va_end(ap);
}

void slu_cli_debug(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    if (!cli->verbose)
        return;
    va_start(ap, fmt);
    line(cli, "\033[2m", fmt, ap);
    va_end(ap);
}

void slu_cli_error(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line(cli, "\033[31m", fmt, ap);
    va_end(ap);
}

int slu_cli_refused(struct cli *cli, const char *what, const struct sluice_error *e)
{
    const char *text = e->message.data ? e->message.data : sluice_client_strerror(e->status);
    int len = e->message.data ? (int)e->message.len : (int)strlen(text);
    if (e->code.len)
        slu_cli_error(cli, "%s: %.*s (%.*s)", what, len, text, (int)e->code.len, e->code.data);
    else
        slu_cli_error(cli, "%s: %.*s", what, len, text);
    if (e->hint.len)
        slu_cli_note(cli, "hint: %.*s", (int)e->hint.len, e->hint.data);
    switch (e->status) {
    case SLUICE_ECONNECT:
    case SLUICE_ETLS:
    case SLUICE_EPROTO:
        return CLI_CONNECT;
    case SLUICE_ETIMEOUT:
        return CLI_TIMEOUT;
    case SLUICE_EINVAL:
    case SLUICE_ETOOBIG:
        return CLI_USAGE;
    case SLUICE_ENOMEM:
        return CLI_LOCAL;
    case SLUICE_EBROKER:
        return e->code.len == 11 && memcmp(e->code.data, "req_timeout", 11) == 0 ? CLI_TIMEOUT : CLI_BROKER;
    default:
        return CLI_BROKER;
    }
}

/* ---- the loop ---- */

void slu_cli_stop(struct cli *cli, int code)
{
    if (!cli->stopping)
        cli->exit_code = code;
    cli->stopping = true;
    if (cli->loop)
        ev_break(cli->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    struct cli *cli = w->data;
    (void)loop, (void)events;
    if (cli->interrupted)
        _Exit(CLI_SIGNAL); /* the second time it is meant at once */
    cli->interrupted = true;
    slu_cli_stop(cli, CLI_SIGNAL);
}

bool slu_cli_make_loop(struct cli *cli)
{
    if (cli->loop)
        return true;
    cli->loop = ev_default_loop(EVFLAG_AUTO);
    if (!cli->loop) {
        slu_cli_error(cli, "no event loop");
        return false;
    }
    ev_signal_init(&on_int, on_signal, SIGINT);
    ev_signal_init(&on_term, on_signal, SIGTERM);
    on_int.data = on_term.data = cli;
    ev_signal_start(cli->loop, &on_int);
    ev_signal_start(cli->loop, &on_term);
    ev_unref(cli->loop);
    ev_unref(cli->loop);
    return true;
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    slu_cli_stop(w->data, CLI_TIMEOUT);
}

static void run_loop(struct cli *cli)
{
    while (!cli->stopping)
        ev_run(cli->loop, EVRUN_ONCE);
}

int slu_cli_run(struct cli *cli, double wait_s)
{
    if (wait_s > 0) {
        ev_now_update(cli->loop);
        ev_timer_init(&deadline, on_deadline, wait_s, 0.);
        deadline.data = cli;
        ev_timer_start(cli->loop, &deadline);
    }
    run_loop(cli);
    if (wait_s > 0)
        ev_timer_stop(cli->loop, &deadline);
    return cli->exit_code;
}

/* ---- the connection ---- */

static void say_lost(struct cli *cli, const struct sluice_state_event *e)
{
    int len = (int)e->error.message.len;
    const char *text = e->error.message.data;
    if (e->state == SLUICE_RECONNECTING)
        slu_cli_note(cli, "connection lost (%d): %.*s; next attempt in %.1f s", e->close_code, len, text,
                     e->delay_ms / 1000.);
    else
        slu_cli_debug(cli, "attempt %u failed: %.*s", (unsigned)e->attempt - 1, len, text);
}

static void on_closed(struct cli *cli, const struct sluice_state_event *e)
{
    if (e->error.status == SLUICE_OK) { /* by our own disconnect */
        slu_cli_stop(cli, CLI_OK);
    } else if (cli->was_connected) {
        slu_cli_error(cli, "connection closed (%d): %.*s", e->close_code, (int)e->error.message.len,
                      e->error.message.data);
        slu_cli_stop(cli, e->error.status == SLUICE_EBROKER ? CLI_BROKER : CLI_CONNECT);
    } else {
        slu_cli_error(cli, "cannot connect to %s: %.*s", cli->server, (int)e->error.message.len, e->error.message.data);
        slu_cli_stop(cli, e->error.status == SLUICE_EBROKER ? CLI_BROKER : CLI_CONNECT);
    }
}

static void on_state(void *arg, sluice_client *c, const struct sluice_state_event *e)
{
    struct cli *cli = arg;
    bool was_up = cli->connected;
    (void)c;
    cli->connected = e->state == SLUICE_CONNECTED;
    if (cli->connected) {
        if (cli->was_connected)
            slu_cli_note(cli, "connected again");
        else
            slu_cli_debug(cli, "connected to %s as %.*s (%.*s)", cli->server, (int)e->user.len,
                          e->user.data ? e->user.data : "", (int)e->conn.len, e->conn.data ? e->conn.data : "");
        cli->was_connected = true;
        if (cli->on_up)
            cli->on_up(cli);
        return;
    }
    if (was_up && cli->on_down && e->state != SLUICE_CLOSED)
        cli->on_down(cli);
    if (e->state == SLUICE_CLOSED)
        on_closed(cli, e);
    else
        say_lost(cli, e);
}

static void on_room(void *arg, sluice_client *c)
{
    struct cli *cli = arg;
    (void)c;
    if (cli->on_room)
        cli->on_room(cli);
}

static void on_error(void *arg, sluice_client *c, const struct sluice_error *e)
{
    (void)c;
    slu_cli_refused(arg, "the broker says", e);
}

/* host:port alone means ws://host:port/ws. */
static const char *full_url(const char *given)
{
    static char url[URL_MAX_LEN];
    if (!given || !*given)
        return "ws://localhost:8080/ws";
    if (strstr(given, "://") || strncmp(given, "ws+unix:", 8) == 0)
        return given;
    snprintf(url, sizeof(url), strchr(given, '/') ? "ws://%s" : "ws://%s/ws", given);
    return url;
}

void slu_cli_options(struct cli *cli, struct sluice_client_options *o)
{
    cli->server = full_url(cli->server);
    *o = (struct sluice_client_options){
        .url = cli->server,
        .token = cli->token && *cli->token ? cli->token : NULL,
        .name = cli->name,
        .tls_ca = cli->ca,
        .tls_insecure = cli->insecure,
        .connect_attempts = 1,
        .arg = cli,
        .on_error = on_error,
    };
}

int slu_cli_open(struct cli *cli)
{
    struct sluice_client_options o;
    if (!slu_cli_make_loop(cli))
        return CLI_LOCAL;
    slu_cli_options(cli, &o);
    o.loop = cli->loop;
    o.on_state = on_state;
    o.on_room = on_room;
    enum sluice_status rc = sluice_client_new(&cli->client, &o);
    if (rc != SLUICE_OK) {
        slu_cli_error(cli, "%s: %s", cli->server, sluice_client_strerror(rc));
        return rc == SLUICE_EINVAL ? CLI_USAGE : rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_CONNECT;
    }
    sluice_client_connect(cli->client);
    while (!cli->connected && !cli->stopping)
        ev_run(cli->loop, EVRUN_ONCE);
    if (cli->stopping) {
        sluice_client_free(cli->client);
        cli->client = NULL;
        return cli->exit_code;
    }
    return CLI_OK;
}

int slu_cli_close(struct cli *cli, int code, bool ends_by_signal)
{
    slu_cli_progress(cli, NULL);
    cli->closing = true;
    if (cli->client && cli->connected) {
        cli->stopping = false;
        sluice_client_disconnect(cli->client);
        slu_cli_run(cli, CLOSE_WAIT_S);
    }
    sluice_client_free(cli->client);
    cli->client = NULL;
    if (code == CLI_SIGNAL && ends_by_signal)
        return CLI_OK;
    return code;
}
