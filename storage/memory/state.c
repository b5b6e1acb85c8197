/* Named states of a home. Generations count for the whole home and only grow, so that one never comes back, whatever was
 * deleted meanwhile. */
#include "storage/memory/home.h"

#include <stdlib.h>

struct mem_named {
    struct slu_map_node node;
    struct slu_list use; /* home->states_by_use */
    uint64_t generation, expires_ms;
    struct slu_bytes value; /* own memory */
    struct slu_bytes key;
    uint8_t bytes[];
};

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    return ((const struct mem_named *)(const void *)n)->key;
}

void mem_state_init(struct mem_home *h)
{
    slu_map_init(&h->states, key_of);
    slu_list_init(&h->states_by_use);
}

static void forget(struct mem_home *h, struct mem_named *s)
{
    slu_list_remove(&s->use);
    slu_map_del(&h->states, &s->node);
    mem_free(h, (void *)(uintptr_t)s->value.data, s->value.len);
    mem_free(h, s, sizeof(*s) + s->key.len);
    mem_charge_maps(h);
}

static bool is_over(const struct mem_named *s, uint64_t now)
{
    return s->expires_ms && s->expires_ms <= now;
}

static struct mem_named *find(struct mem_home *h, struct slu_bytes key)
{
    struct mem_named *s = (void *)slu_map_get(&h->states, key);
    if (s && is_over(s, mem_now(h))) {
        forget(h, s);
        return NULL;
    }
    return s;
}

static struct mem_named *named_new(struct mem_home *h, struct slu_bytes key, enum slu_err *err)
{
    *err = SLU_ELIMIT_REACHED;
    if (h->states.n >= MEM_STATES_MAX)
        return NULL;
    *err = SLU_ENOMEM;
    size_t size = sizeof(struct mem_named) + key.len;
    struct mem_named *s = mem_make_room(h, NULL, size) ? mem_alloc(h, size) : NULL;
    if (!s)
        return NULL;
    memcpy(s->bytes, key.data, key.len);
    s->key = slu_bytes(s->bytes, key.len);
    if (!slu_map_add(&h->states, &s->node)) {
        mem_free(h, s, size);
        return NULL;
    }
    slu_list_push_back(&h->states_by_use, &s->use);
    mem_charge_maps(h);
    return s;
}

static enum slu_err claim(struct mem_home *h, struct slu_state *req)
{
    enum slu_err err;
    struct mem_named *s = find(h, req->key);
    if (!s)
        s = named_new(h, req->key, &err);
    if (!s)
        return err;
    if (s->value.len) {
        uint8_t *copy = malloc(s->value.len);
        if (!copy)
            return SLU_ENOMEM;
        memcpy(copy, s->value.data, s->value.len);
        req->found = slu_bytes(copy, s->value.len);
    }
    s->generation = req->generation = ++h->generation;
    return SLU_OK;
}

static enum slu_err put(struct mem_home *h, struct mem_named *s, const struct slu_state *req)
{
    uint8_t *copy = NULL;
    if (req->value.len) {
        copy = mem_make_room(h, NULL, req->value.len) ? mem_alloc(h, req->value.len) : NULL;
        if (!copy)
            return SLU_ENOMEM;
        memcpy(copy, req->value.data, req->value.len);
    }
    mem_free(h, (void *)(uintptr_t)s->value.data, s->value.len);
    s->value = slu_bytes(copy, req->value.len);
    s->expires_ms = req->expires_ms;
    slu_list_remove(&s->use);
    slu_list_push_back(&h->states_by_use, &s->use);
    return SLU_OK;
}

enum slu_err mem_state(struct mem_home *h, struct slu_state *req)
{
    if (req->op == SLU_STATE_CLAIM)
        return claim(h, req);
    struct mem_named *s = find(h, req->key);
    if (!s)
        return req->op == SLU_STATE_DELETE ? SLU_OK : SLU_EEXPECT_FAILED;
    if (s->generation != req->generation)
        return SLU_EEXPECT_FAILED;
    if (req->op == SLU_STATE_PUT)
        return put(h, s, req);
    forget(h, s);
    return SLU_OK;
}

void mem_state_sweep(struct mem_home *h, uint64_t now)
{
    size_t left = h->states.n < MEM_SWEEP_MAX ? h->states.n : MEM_SWEEP_MAX;
    for (; left && !slu_list_empty(&h->states_by_use); left--) {
        struct mem_named *s = slu_container_of(h->states_by_use.next, struct mem_named, use);
        slu_list_remove(&s->use);
        slu_list_push_back(&h->states_by_use, &s->use);
        if (is_over(s, now))
            forget(h, s);
    }
}

void mem_state_fini(struct mem_home *h)
{
    while (!slu_list_empty(&h->states_by_use))
        forget(h, slu_container_of(h->states_by_use.next, struct mem_named, use));
    slu_map_fini(&h->states);
}
