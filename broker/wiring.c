/* Old configurations and rights are kept until the end: workers may still read them, and a reload is rare. */
#include "broker/wiring.h"

#include "broker/anonymous.h"
#include "broker/base/folder.h"
#include "broker/base/log.h"
#include "broker/base/rng.h"
#include "broker/core/broker.h"
#include "broker/net/net.h"
#include "broker/sockets.h"
#include "storage/registry.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, SPARE_DESCRIPTORS = 64, DESCRIPTORS_A_WORKER = 8 };

struct slu_server {
    const struct slu_config_sources *src;
    struct slu_config **configs; /* the last one is in force */
    size_t n_configs;
    struct slu_anonymous *anonymous;
    struct slu_broker *broker;
    struct slu_net *net;
    char node[65];
    char dashboard[PATH_MAX];
    char data[PATH_MAX];
    unsigned workers;
    uint64_t connections_max; /* what the limit of open files leaves room for */
};

struct slu_broker *slu_server_broker(const struct slu_server *s)
{
    return s->broker;
}

struct slu_net *slu_server_net(const struct slu_server *s)
{
    return s->net;
}

const struct slu_config *slu_server_config(const struct slu_server *s)
{
    return s->configs[s->n_configs - 1];
}

static bool keep_config(struct slu_server *s, struct slu_config *cfg)
{
    struct slu_config **list = realloc(s->configs, (s->n_configs + 1) * sizeof(*list));
    if (!list)
        return false;
    s->configs = list;
    s->configs[s->n_configs++] = cfg;
    return true;
}

static unsigned count_workers(const struct slu_config *cfg)
{
    cpu_set_t set;
    long n = (long)cfg->workers;
    if (n == 0)
        n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

/* As many open files as the system lets us have; says so when that is less than the configuration wants. */
static uint64_t raise_descriptors(const struct slu_config *cfg, unsigned workers)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return cfg->limits.connections;
    if (r.rlim_cur < r.rlim_max) {
        rlim_t before = r.rlim_cur;
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) != 0)
            r.rlim_cur = before;
    }
    uint64_t spare = SPARE_DESCRIPTORS + (uint64_t)workers * DESCRIPTORS_A_WORKER;
    uint64_t room = r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur > spare ? (uint64_t)r.rlim_cur - spare : 1;
    if (room < cfg->limits.connections)
        slu_log(SLU_LOG_WARN, "main", "descriptors_low",
                "open_files=%llu limits_connections=%llu connections_possible=%llu "
                "hint=\"raise the hard limit of open files (LimitNOFILE, ulimit -Hn) or lower limits.connections\"",
                (unsigned long long)r.rlim_cur, (unsigned long long)cfg->limits.connections, (unsigned long long)room);
    return room;
}

static bool is_folder_with_page(const char *folder)
{
    char page[PATH_MAX];
    int n = snprintf(page, sizeof(page), "%s/index.html", folder);
    return n > 0 && (size_t)n < sizeof(page) && access(page, R_OK) == 0;
}

/* The console's files: as configured, or beside the program, in the source tree or as installed. "" = none. */
static void find_dashboard(struct slu_server *s, const struct slu_config *cfg)
{
    static const char *const places[] = { "../../clients/dashboard/dist", "../../clients/dashboard",
                                          "../share/sluice/dashboard" };
    char folder[PATH_MAX];
    if (cfg->dashboard[0] != '\0') {
        snprintf(s->dashboard, sizeof(s->dashboard), "%s", cfg->dashboard);
        return;
    }
    ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    if (n <= 0)
        return;
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (!slash)
        return;
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int len = snprintf(s->dashboard, sizeof(s->dashboard), "%s/%s", folder, places[i]);
        if (len > 0 && (size_t)len < sizeof(s->dashboard) && is_folder_with_page(s->dashboard))
            return;
    }
    s->dashboard[0] = '\0';
}

static unsigned to_unsigned(uint64_t n)
{
    return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

static struct slu_settings broker_settings(const struct slu_server *s, const struct slu_config *cfg)
{
    struct slu_settings b;
    slu_settings_default(&b);
    b.node = s->node;
    b.workers = s->workers;
    b.dev = cfg->dev;
    b.memory_budget = cfg->limits.memory;
    b.queue_bytes = cfg->limits.queue_bytes;
    b.queue_messages = cfg->limits.queue_messages;
    b.payload_max = cfg->limits.payload;
    b.frame_max = cfg->limits.frame;
    b.login_frame_max = cfg->limits.login_frame;
    b.subscriptions_max = to_unsigned(cfg->limits.subscriptions);
    b.publishes_in_flight_max = to_unsigned(cfg->limits.publishes_in_flight);
    b.requests_in_flight_max = to_unsigned(cfg->limits.requests_in_flight);
    b.groups_max = to_unsigned(cfg->limits.groups);
    b.pending_max = cfg->limits.conflated_keys;
    b.login_timeout_ms = cfg->timeouts.login_ms;
    b.ping_interval_ms = cfg->timeouts.ping_interval_ms;
    b.ping_timeout_ms = cfg->timeouts.ping_ms;
    b.close_timeout_ms = cfg->timeouts.close_ms;
    b.presence_grace_ms = cfg->presence_grace_ms;
    b.dedup_window_ms = cfg->dedup.window_ms;
    b.durable_expiry_ms = cfg->durable.expiry_ms;
    return b;
}

static bool is_trusted(const void *arg, const struct sockaddr *peer)
{
    return slu_cidrs_match(arg, peer);
}

static struct slu_net_settings net_settings(const struct slu_server *s, const struct slu_config *cfg)
{
    bool has_tls = cfg->tls.certificate[0] != '\0' && (cfg->tls.public || cfg->tls.admin);
    uint64_t connections = cfg->limits.connections < s->connections_max ? cfg->limits.connections : s->connections_max;
    return (struct slu_net_settings){
        .dev = cfg->dev,
        .admin_open = cfg->dev,
        .dashboard_public = cfg->dev || cfg->anonymous.subscribe.n > 0,
        .origins = (const char *const *)cfg->origins.items,
        .n_origins = cfg->origins.n,
        .hosts = (const char *const *)cfg->hosts.items,
        .n_hosts = cfg->hosts.n,
        .is_trusted = is_trusted,
        .is_trusted_arg = &cfg->trusted_proxies,
        .dashboard = s->dashboard[0] ? s->dashboard : NULL,
        .certificate = has_tls ? cfg->tls.certificate : NULL,
        .key = has_tls ? cfg->tls.key : NULL,
        .connections = connections,
        .connections_per_address = cfg->limits.connections_per_address,
        .connection_rate = cfg->limits.connection_rate,
        .connection_rate_per_address = cfg->limits.connection_rate_per_address,
        .fragments = cfg->limits.fragments,
        .control_frames = cfg->limits.control_frames,
        .upgrade_ms = cfg->timeouts.upgrade_ms,
        .message_ms = cfg->timeouts.message_ms,
    };
}

static bool make_rules(const struct slu_config *cfg, struct slu_rules **out)
{
    struct slu_rule *list = calloc(cfg->n_rules ? cfg->n_rules : 1, sizeof(*list));
    if (!list)
        return false;
    for (size_t i = 0; i < cfg->n_rules; i++)
        list[i] = cfg->rules[i].core;
    bool ok = slu_rules_new(list, cfg->n_rules, out) == SLU_OK;
    free(list);
    return ok;
}

static bool start_broker(struct slu_server *s, const struct slu_config *cfg, struct slu_buf *error)
{
    struct slu_settings settings = broker_settings(s, cfg);
    struct slu_auth auth = { .login = slu_anonymous_login, .arg = s->anonymous };
    struct slu_rules *rules;
    struct slu_store_engines engines = { slu_engine_for_disk, &slu_engine_memory, s->data };
    enum slu_err rc = slu_broker_new(&settings, &auth, &engines, error, &s->broker);
    if (!rc && !make_rules(cfg, &rules))
        rc = SLU_ENOMEM;
    if (rc) {
        if (!error->len)
            slu_buf_add_str(error, rc == SLU_ENOMEM ? "out of memory" : slu_err_info(rc)->message);
        return false;
    }
    slu_broker_set_rules(s->broker, rules);
    return true;
}

static bool start_net(struct slu_server *s, const struct slu_config *cfg, struct slu_buf *error)
{
    struct slu_sockets sockets;
    if (!slu_sockets_init(&sockets, cfg, error))
        return false;
    struct slu_net_settings settings = net_settings(s, cfg);
    struct slu_net_start start = {
        .workers = s->workers,
        .echo = cfg->echo,
        .listen = sockets.items,
        .n_listen = sockets.n,
        .backlog = (int)cfg->listen.backlog,
        .header_bytes = to_unsigned(cfg->limits.header_bytes),
        .notsent_lowat = cfg->limits.notsent_lowat > INT_MAX ? INT_MAX : (int)cfg->limits.notsent_lowat,
        .user_timeout_ms = to_unsigned(cfg->timeouts.tcp_user_ms),
    };
    bool ok = slu_net_new(s->broker, &start, &settings, error, &s->net) == SLU_OK;
    if (ok && slu_net_run(s->net) != SLU_OK) {
        slu_buf_add_str(error, "no thread could be made: raise the limit of processes (ulimit -u) or lower workers");
        ok = false;
    }
    slu_sockets_fini(&sockets);
    return ok;
}

static void tell_warnings(const struct slu_config *cfg)
{
    for (size_t i = 0; i < cfg->warnings.n; i++)
        slu_log(SLU_LOG_WARN, "config", "warning", "text=\"%s\"", cfg->warnings.items[i]);
    if (cfg->echo)
        slu_log(SLU_LOG_WARN, "main", "echo_on", "hint=\"subprotocol sluice.echo is offered: not for open networks\"");
}

bool slu_server_start(struct slu_config *cfg, const struct slu_config_sources *src, struct slu_buf *error,
                      struct slu_server **out)
{
    struct slu_server *s = calloc(1, sizeof(*s));
    if (!s || !keep_config(s, cfg)) {
        slu_config_free(cfg);
        free(s);
        slu_buf_add_str(error, "out of memory");
        return false;
    }
    s->src = src;
    slu_log_set_level(cfg->log_level);
    tell_warnings(cfg);
    s->workers = count_workers(cfg);
    s->connections_max = raise_descriptors(cfg, s->workers);
    if (cfg->node[0] != '\0')
        snprintf(s->node, sizeof(s->node), "%s", cfg->node);
    else if (gethostname(s->node, sizeof(s->node) - 1) != 0)
        snprintf(s->node, sizeof(s->node), "sluice");
    find_dashboard(s, cfg);
    if (cfg->data[0] != '\0')
        snprintf(s->data, sizeof(s->data), "%s", cfg->data);
    else if (!slu_data_folder(cfg->dev, s->data, sizeof(s->data)))
        s->data[0] = '\0'; /* the engine says that it needs one */
    s->anonymous = slu_anonymous_new();
    if (!s->anonymous || !slu_anonymous_set(s->anonymous, cfg)) {
        slu_buf_add_str(error, "out of memory");
    } else if (start_broker(s, cfg, error) && start_net(s, cfg, error)) {
        *out = s;
        return true;
    }
    slu_server_free(s);
    return false;
}

/* Makes everything that can fail first; then changes over. */
static bool apply(struct slu_server *s, struct slu_config *cfg, struct slu_buf *error)
{
    struct slu_rules *rules = NULL;
    struct slu_net_settings net = net_settings(s, cfg);
    if (!make_rules(cfg, &rules) || !keep_config(s, cfg)) {
        slu_buf_add_str(error, "out of memory");
        slu_rules_free(rules);
        return false;
    }
    if (!slu_anonymous_prepare(s->anonymous, cfg) || slu_net_reload(s->net, &net, error) != SLU_OK) {
        slu_rules_free(rules);
        s->n_configs--;
        return false;
    }
    slu_anonymous_commit(s->anonymous);
    struct slu_settings settings = broker_settings(s, cfg);
    slu_broker_set_settings(s->broker, &settings);
    slu_broker_set_rules(s->broker, rules);
    slu_broker_review_rights(s->broker);
    slu_log_set_level(cfg->log_level);
    return true;
}

void slu_server_reload(struct slu_server *s)
{
    struct slu_buf text;
    slu_buf_init(&text, 1 << 16);
    struct slu_config *cfg = NULL;
    bool ok = slu_config_load(s->src, &cfg, &text);
    if (ok && slu_config_diff(slu_server_config(s), cfg, false, &text).fixed > 0)
        ok = false;
    if (ok)
        ok = apply(s, cfg, &text);
    if (ok) {
        tell_warnings(cfg);
        slu_log(SLU_LOG_INFO, "main", "reloaded", NULL);
    } else {
        char why[1024];
        slu_config_free(cfg);
        slu_log(SLU_LOG_ERROR, "main", "reload_refused", "kept=all why=%s",
                slu_log_quote(why, sizeof(why), slu_buf_bytes(&text)));
    }
    slu_buf_fini(&text);
}

void slu_server_announce(const struct slu_server *s)
{
    struct slu_buf text;
    slu_buf_init(&text, 1024);
    slu_net_address(s->net, SLU_NET_PUBLIC, &text);
    slu_buf_add_str(&text, " admin=");
    size_t before = text.len;
    slu_net_address(s->net, SLU_NET_ADMIN, &text);
    if (text.len == before)
        slu_buf_add_str(&text, "none");
    printf("ready listen=%.*s\n", (int)text.len, (const char *)text.data);
    fflush(stdout);
    slu_log(SLU_LOG_INFO, "main", "ready", "listen=%.*s node=%s workers=%u data=%s dashboard=%s", (int)text.len,
            (const char *)text.data, s->node, s->workers, s->data, s->dashboard[0] ? s->dashboard : "none");
    slu_buf_fini(&text);
}

void slu_server_free(struct slu_server *s)
{
    if (!s)
        return;
    slu_net_free(s->net);
    slu_broker_free(s->broker);
    slu_anonymous_free(s->anonymous);
    for (size_t i = 0; i < s->n_configs; i++)
        slu_config_free(s->configs[i]);
    free(s->configs);
    free(s);
}
