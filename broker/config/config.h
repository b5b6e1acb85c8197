/* The effective configuration as plain data: what defaults, file, environment and command line came to. Fields are
 * filled through the option table (options.def, rules.def); a new option is a row there and a field here.
 * Loading has no global state and starts nothing, so that a reload can fail without harm. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/log.h"
#include "broker/core/rules.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A list of texts. `set` is true when the list was given, so that an empty list differs from none. */
struct slu_strings {
    char **items;
    size_t n;
    bool set;
};

/* Where to listen. */
struct slu_addr {
    int family; /* AF_INET, AF_INET6 or AF_UNIX */
    uint8_t ip[16];
    uint16_t port;  /* 0 = any free one */
    bool any;       /* written ":PORT": all addresses, IPv4 too; where there is no IPv6, 0.0.0.0 */
    bool companion; /* the ::1 of a "localhost:PORT": takes the port of the address before it; may fail to bind */
    char *path;     /* AF_UNIX only, otherwise NULL */
};

struct slu_addrs {
    struct slu_addr *items;
    size_t n;
};

/* A network, host bits zero. */
struct slu_cidr {
    int family;
    uint8_t ip[16];
    unsigned bits;
};

struct slu_cidrs {
    struct slu_cidr *items;
    size_t n;
};

/* The names and ids of all options: SLU_OPT_LISTEN_PUBLIC … */
enum slu_opt {
#define SLU_OPTION(id, ...) SLU_OPT_##id,
#include "broker/config/options.def"
    SLU_OPT_COUNT
};

/* The keys of a topic rule: SLU_KEY_FILTER … */
enum slu_rule_key {
#define SLU_RULE_KEY(id, ...) SLU_KEY_##id,
#include "broker/config/rules.def"
    SLU_KEY_COUNT
};

/* Where a value came from; later ones win. */
enum slu_origin_kind { SLU_FROM_DEFAULT, SLU_FROM_FILE, SLU_FROM_ENVIRONMENT, SLU_FROM_FLAG };

struct slu_origin {
    enum slu_origin_kind kind;
    unsigned line; /* of the file, from 1 */
};

struct slu_config_rule {
    struct slu_rule core; /* core.filter borrows `filter` */
    char *filter;
    struct slu_strings indexed; /* "headers.x", "data.x": fields that subscription filters may ask for cheaply */
    struct slu_strings publish, subscribe; /* confined to these users, "*" = all; not set = rights alone decide */
    bool local;                            /* stays on this node in a cluster */
    unsigned line;                         /* where the rule begins; 0 = built in */
    unsigned key_line[SLU_KEY_COUNT];      /* 0 = default */
};

/* Times are milliseconds, sizes bytes, rates events a second with 0 = unlimited. Texts are never NULL. */
struct slu_config {
    bool dev; /* --dev */

    struct {
        struct slu_addrs public, admin; /* admin may be empty: no administration listener */
        uint64_t backlog;
        bool proxy_protocol;
    } listen;
    struct {
        char *certificate, *key; /* file names; "" = no TLS */
        bool public, admin;      /* true only where certificate and key are set */
    } tls;
    char *node;
    char *data;
    uint64_t workers; /* 0 = one a core */
    char *dashboard;  /* folder of static files; "" = the installed one */
    char *redis_url;
    bool echo;
    enum slu_level log_level;

    struct slu_strings origins, hosts;
    struct slu_cidrs trusted_proxies;
    struct {
        struct slu_strings publish, subscribe;
    } anonymous;

    struct {
        uint64_t connections, connections_per_address;
        uint64_t connection_rate, connection_rate_per_address;
        uint64_t subscriptions, conflated_keys, groups;
        uint64_t payload, frame, login_frame, fragments, control_frames;
        uint64_t header_bytes, http_body;
        uint64_t queue_bytes, queue_messages;
        uint64_t requests_in_flight, publishes_in_flight;
        uint64_t memory;
        uint64_t notsent_lowat;
    } limits;
    struct {
        uint64_t upgrade_ms, login_ms, message_ms, ping_interval_ms, ping_ms, tcp_user_ms, close_ms;
    } timeouts;
    struct {
        uint64_t settle_ms, time_ms;
    } drain;
    uint64_t presence_grace_ms;
    struct {
        uint64_t window_ms, keys;
    } dedup;
    struct {
        uint64_t expiry_ms;
    } durable;

    struct slu_config_rule *rules; /* as in the file; the built-in "#" last where the file has none */
    size_t n_rules;

    char *file; /* as given; "" = none */
    struct slu_origin origin[SLU_OPT_COUNT];
    struct slu_strings warnings; /* things worth a log line that are no mistakes */
};

/* One value from the command line; `flag` is how it was given ("--listen", "--set") and stands in messages. */
struct slu_config_set {
    const char *flag, *key, *value;
};

struct slu_config_sources {
    const char *file; /* NULL = no file */
    const char *text; /* not NULL: this stands for the file's content and nothing is opened */
    size_t text_len;
    char *const *environ; /* NULL = do not look at the environment */
    const struct slu_config_set *sets;
    size_t n_sets;
    bool dev;
    bool has_disk, has_redis; /* the engines that this build has */
    bool has_rule_users;      /* the caller enforces publish and subscribe of topic rules; false: they are refused */
    uint64_t machine_memory;  /* bytes, for limits.memory: auto; 0 = unknown. See slu_machine_memory; a reload passes
                               * the same number again, or the option would seem changed */
};

/* Loads all or nothing. False: `error` holds one line for each mistake and *out is untouched. */
bool slu_config_load(const struct slu_config_sources *src, struct slu_config **out, struct slu_buf *error);
void slu_config_free(struct slu_config *c); /* NULL is fine */

struct slu_config_diff {
    size_t changed; /* options whose value differs */
    size_t fixed;   /* of those, how many cannot change while the broker runs */
};

/* Appends a line for each fixed option that differs (and, with `all`, for each other one too). A reload is for when
 * fixed == 0. */
struct slu_config_diff slu_config_diff(const struct slu_config *from, const struct slu_config *to, bool all,
                                       struct slu_buf *text);

/* The effective values as YAML that loads again, each with its origin as a comment. */
void slu_config_print(const struct slu_config *c, struct slu_buf *out);
/* A commented file with every option and its default. */
void slu_config_print_sample(struct slu_buf *out);
/* Flags and options of sluiced. */
void slu_config_print_help(struct slu_buf *out);

/* The memory that this process may use: the machine's, or less where a control group bounds it. 0 = unknown. Reads
 * files: for the start of the program, not for loading. */
uint64_t slu_machine_memory(void);

/* "127.0.0.1:8080", "[::1]:8080", ":8080", "unix:/path" */
void slu_addr_print(const struct slu_addr *a, struct slu_buf *out);
/* For bind(2); the length, 0 when the address does not fit. */
socklen_t slu_addr_sockaddr(const struct slu_addr *a, struct sockaddr_storage *out);
/* True for an IPv4 address in IPv6 clothes too. */
bool slu_cidrs_match(const struct slu_cidrs *list, const struct sockaddr *peer);
