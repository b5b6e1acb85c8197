/* A bucket holds `rate` tokens and fills at `rate` a second, so it is full again a second after its last use: an address
 * without connections is forgotten then. Tokens are counted in thousandths. */
#include "broker/net/gate.h"

#include "broker/base/list.h"
#include "broker/base/map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TOKEN = 1000, FORGET_MS = 1000, FORGET_AT_ONCE = 4 };

struct bucket {
    uint64_t tokens, last_ms;
};

struct address {
    struct slu_map_node node;
    struct slu_list idle; /* in gate.idle while it has no connections */
    struct slu_ip key;
    uint64_t connections;
    struct bucket bucket;
};

struct slu_gate {
    pthread_mutex_t lock;
    struct slu_map addresses;
    struct slu_list idle; /* least recently used first */
    struct bucket bucket;
    atomic_size_t count;
};

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    const struct address *a = slu_container_of(n, struct address, node);
    return slu_bytes(&a->key, sizeof(a->key));
}

struct slu_gate *slu_gate_new(void)
{
    struct slu_gate *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    pthread_mutex_init(&g->lock, NULL);
    slu_map_init(&g->addresses, key_of);
    slu_list_init(&g->idle);
    g->bucket.tokens = UINT64_MAX;
    return g;
}

void slu_gate_free(struct slu_gate *g)
{
    if (!g)
        return;
    struct slu_map_iter it = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&g->addresses, &it)) != NULL) {
        struct address *a = slu_container_of(n, struct address, node);
        slu_map_del(&g->addresses, n);
        free(a);
    }
    slu_map_fini(&g->addresses);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static bool has_token(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
    if (rate == 0)
        return true;
    uint64_t full = rate * TOKEN, passed = now_ms > b->last_ms ? now_ms - b->last_ms : 0;
    if (passed > FORGET_MS)
        passed = FORGET_MS;
    if (b->tokens > full || full - b->tokens <= passed * rate)
        b->tokens = full;
    else
        b->tokens += passed * rate;
    b->last_ms = now_ms;
    return b->tokens >= TOKEN;
}

static void take_token(struct bucket *b, uint64_t rate)
{
    if (rate > 0)
        b->tokens -= TOKEN;
}

static struct slu_ip key_for(const struct slu_ip *ip)
{
    struct slu_ip key = *ip;
    if (key.kind == SLU_IP_V6)
        memset(key.bytes + 8, 0, 8);
    return key;
}

static void forget_some(struct slu_gate *g, uint64_t now_ms)
{
    for (int i = 0; i < FORGET_AT_ONCE && !slu_list_empty(&g->idle); i++) {
        struct address *a = slu_container_of(g->idle.next, struct address, idle);
        if (now_ms < a->bucket.last_ms + FORGET_MS)
            return;
        slu_list_remove(&a->idle);
        slu_map_del(&g->addresses, &a->node);
        free(a);
    }
}

static struct address *find(struct slu_gate *g, const struct slu_ip *key)
{
    struct slu_map_node *n = slu_map_get(&g->addresses, slu_bytes(key, sizeof(*key)));
    return n ? slu_container_of(n, struct address, node) : NULL;
}

static struct address *find_or_add(struct slu_gate *g, const struct slu_ip *key)
{
    struct address *a = find(g, key);
    if (a)
        return a;
    a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->key = *key;
    a->bucket.tokens = UINT64_MAX;
    slu_list_init(&a->idle);
    if (!slu_map_add(&g->addresses, &a->node)) {
        free(a);
        return NULL;
    }
    slu_list_push_back(&g->idle, &a->idle);
    return a;
}

/* Under the lock. */
static enum slu_gate_answer enter_address(struct slu_gate *g, const struct slu_gate_bounds *b, const struct slu_ip *ip,
                                          uint64_t now_ms)
{
    if (ip->kind == SLU_IP_NONE || (b->per_address == 0 && b->rate_per_address == 0))
        return SLU_GATE_OPEN;
    struct slu_ip key = key_for(ip);
    forget_some(g, now_ms);
    struct address *a = find_or_add(g, &key);
    if (!a)
        return SLU_GATE_ADDRESS;
    if (b->per_address > 0 && a->connections >= b->per_address)
        return SLU_GATE_ADDRESS;
    if (!has_token(&a->bucket, b->rate_per_address, now_ms))
        return SLU_GATE_RATE;
    take_token(&a->bucket, b->rate_per_address);
    a->connections++;
    slu_list_remove(&a->idle);
    return SLU_GATE_OPEN;
}

enum slu_gate_answer slu_gate_enter(struct slu_gate *g, const struct slu_gate_bounds *b, const struct slu_ip *ip,
                                    uint64_t now_ms)
{
    enum slu_gate_answer answer = SLU_GATE_TOTAL;
    pthread_mutex_lock(&g->lock);
    size_t count = atomic_load_explicit(&g->count, memory_order_relaxed);
    if (b->total == 0 || count < b->total) {
        answer = has_token(&g->bucket, b->rate, now_ms) ? enter_address(g, b, ip, now_ms) : SLU_GATE_RATE;
        if (answer == SLU_GATE_OPEN) {
            take_token(&g->bucket, b->rate);
            atomic_store_explicit(&g->count, count + 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&g->lock);
    return answer;
}

/* Under the lock. An address that came in while there were no bounds is not in the table. */
static void leave_address(struct slu_gate *g, const struct slu_ip *ip)
{
    if (ip->kind == SLU_IP_NONE)
        return;
    struct slu_ip key = key_for(ip);
    struct address *a = find(g, &key);
    if (!a || a->connections == 0)
        return;
    if (--a->connections == 0)
        slu_list_push_back(&g->idle, &a->idle);
}

enum slu_gate_answer slu_gate_move(struct slu_gate *g, const struct slu_gate_bounds *b, const struct slu_ip *from,
                                   const struct slu_ip *to, uint64_t now_ms)
{
    pthread_mutex_lock(&g->lock);
    enum slu_gate_answer answer = enter_address(g, b, to, now_ms);
    if (answer == SLU_GATE_OPEN)
        leave_address(g, from);
    pthread_mutex_unlock(&g->lock);
    return answer;
}

void slu_gate_leave(struct slu_gate *g, const struct slu_ip *ip)
{
    pthread_mutex_lock(&g->lock);
    leave_address(g, ip);
    atomic_fetch_sub_explicit(&g->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&g->lock);
}

size_t slu_gate_count(const struct slu_gate *g)
{
    return atomic_load_explicit(&g->count, memory_order_relaxed);
}
