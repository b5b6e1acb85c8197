/* See keep.h. */
#include "broker/core/keep.h"

#include "broker/base/log.h"
#include "broker/core/broker_state.h"

#include <stdlib.h>

enum {
    RETRY_MS = 500,
    DRIFT_MS = 5000,
    BYTES_A_MS = 4096, /* so much may a value grow for each further millisecond between two writes */
    REFRESH_PART = 8,  /* of the expiry */
};

struct slu_keep {
    struct slu_state req;
    struct slu_worker *worker;
    const struct slu_keep_ops *ops;
    void *owner;          /* NULL: gone */
    struct slu_list link; /* worker->keeps */
    struct slu_timer timer;
    struct slu_buf value; /* of the write under way: its input */
    struct slu_buf last;  /* without an owner: what is still to be written */
    struct slu_keep_wait *waits, **waits_end;
    uint64_t changes, writing, written; /* how many there were; those in the write under way; those in the store */
    uint64_t last_ms;                   /* of the last write */
    uint64_t next_ms, hurried_ms;       /* the next one not before; where somebody waits for it */
    uint64_t generation;
    size_t charged;
    bool is_busy, is_claimed, has_drifted;
    bool is_stored; /* the store has a value: what never had one goes with its owner */
    struct slu_bytes key;
    uint8_t bytes[];
};

void slu_keep_init(struct slu_worker *w)
{
    slu_list_init(&w->keeps);
}

static void charge(struct slu_keep *k)
{
    struct slu_account *a = &k->worker->broker->account;
    size_t now = sizeof(*k) + k->key.len + k->value.cap + k->last.cap;
    slu_account_add(a, now);
    slu_account_sub(a, k->charged);
    k->charged = now;
}

static void end_waits(struct slu_keep *k, uint64_t upto, enum slu_err err)
{
    while (k->waits && k->waits->mark <= upto) {
        struct slu_keep_wait *wait = k->waits;
        k->waits = wait->next;
        if (!k->waits)
            k->waits_end = &k->waits;
        wait->done(wait, err);
    }
}

static void keep_free(struct slu_keep *k)
{
    end_waits(k, UINT64_MAX, SLU_EUNAVAILABLE);
    slu_wheel_cancel(&k->worker->wheel, &k->timer);
    slu_list_remove(&k->link);
    slu_account_sub(&k->worker->broker->account, k->charged);
    slu_buf_fini(&k->value);
    slu_buf_fini(&k->last);
    free(k);
}

void slu_keep_fini(struct slu_worker *w)
{
    while (!slu_list_empty(&w->keeps))
        keep_free(slu_container_of(w->keeps.next, struct slu_keep, link));
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void ask(struct slu_keep *k, enum slu_state_op op, void (*done)(struct slu_store_req *req))
{
    slu_wheel_cancel(&k->worker->wheel, &k->timer);
    k->is_busy = true;
    k->req = (struct slu_state){
        .req.worker = k->worker->index,
        .req.done = done,
        .op = op,
        .key = k->key,
        .generation = k->generation,
    };
    if (op == SLU_STATE_PUT) {
        k->req.value = slu_buf_bytes(&k->value);
        k->req.expires_ms = k->worker->wall_ms + slu_worker_settings(k->worker)->durable_expiry_ms;
    }
    slu_store_state(k->worker->broker->store, &k->req);
}

static struct slu_keep *keep_of(struct slu_store_req *req)
{
    return slu_container_of(req, struct slu_keep, req.req);
}

/* When the next write is due; there is always one, or the value would expire in use. */
static void arm(struct slu_keep *k)
{
    if (k->is_busy || !k->is_claimed || !k->owner)
        return;
    uint64_t due = k->last_ms + slu_worker_settings(k->worker)->durable_expiry_ms / REFRESH_PART;
    if (k->has_drifted && k->last_ms + DRIFT_MS < due)
        due = k->last_ms + DRIFT_MS;
    if (k->changes > k->written && k->next_ms < due)
        due = k->waits ? k->hurried_ms : k->next_ms;
    slu_wheel_set(&k->worker->wheel, &k->timer, due);
}

static void retry_later(struct slu_keep *k)
{
    k->next_ms = k->hurried_ms = k->worker->now_ms + RETRY_MS;
    k->last_ms = k->worker->now_ms;
    arm(k);
}

static void note_failure(const struct slu_keep *k, enum slu_err err)
{
    static struct slu_log_limit limit;
    if (err != SLU_EEXPECT_FAILED && err != SLU_ECLOSED && slu_log_allowed(&limit, 5))
        slu_log(SLU_LOG_WARN, "core", "state_not_kept", "reason=%s bytes=%zu", slu_err_info(err)->code, k->value.len);
}

static void put(struct slu_keep *k);
static void leave_nothing(struct slu_keep *k);

/* Nobody writes here any more: what is left is written, or has been. A name that was claimed and got no value goes. */
static void wind_up(struct slu_keep *k)
{
    struct slu_buf written = k->value;
    if (!k->worker->broker->store || !k->is_claimed || (!k->last.len && k->is_stored)) {
        keep_free(k);
    } else if (!k->last.len) {
        leave_nothing(k);
    } else {
        k->value = k->last;
        k->last = written;
        slu_buf_clear(&k->last);
        k->writing = k->changes;
        put(k);
    }
}

/* The end of a write. Who waits may end the owner: so long it counts as busy. */
static void settle(struct slu_keep *k, enum slu_err err)
{
    k->last_ms = k->worker->now_ms;
    k->hurried_ms = k->last_ms + k->value.len / BYTES_A_MS;
    k->next_ms = k->hurried_ms + k->ops->every_ms;
    if (err)
        note_failure(k, err);
    else
        k->written = k->writing;
    k->is_stored |= !err;
    end_waits(k, k->writing, err ? SLU_EUNAVAILABLE : SLU_OK);
    k->is_busy = false;
    if (!k->owner)
        wind_up(k);
    else if (err == SLU_EEXPECT_FAILED)
        k->ops->lost(k->owner);
    else if (err && err != SLU_ECLOSED)
        retry_later(k);
    else
        arm(k);
}

static void put_done(struct slu_store_req *req)
{
    settle(keep_of(req), req->err);
}

static void put(struct slu_keep *k)
{
    charge(k);
    k->has_drifted = false;
    ask(k, SLU_STATE_PUT, put_done);
}

static void due(struct slu_timer *t, uint64_t now_ms)
{
    struct slu_keep *k = slu_container_of(t, struct slu_keep, timer);
    (void)now_ms;
    k->is_busy = true;
    slu_buf_clear(&k->value);
    k->ops->write(k->owner, &k->value);
    k->writing = k->changes;
    if (k->value.failed)
        settle(k, SLU_ENOMEM);
    else
        put(k);
}

static void deleted(struct slu_store_req *req)
{
    struct slu_keep *k = keep_of(req);
    k->is_busy = false;
    keep_free(k);
}

static void leave_nothing(struct slu_keep *k)
{
    ask(k, SLU_STATE_DELETE, deleted);
}

static void claimed(struct slu_store_req *req)
{
    struct slu_keep *k = keep_of(req);
    struct slu_bytes found = k->req.found;
    k->is_busy = false;
    k->is_claimed = !req->err;
    k->is_stored = found.len != 0;
    k->generation = k->req.generation;
    k->last_ms = k->next_ms = k->hurried_ms = k->worker->now_ms;
    if (k->owner)
        k->ops->claimed(k->owner, req->err, found);
    else
        wind_up(k);
    free((void *)(uintptr_t)found.data);
}

/* --- the owner's side --------------------------------------------------------------------------------------------- */

struct slu_keep *slu_keep_new(struct slu_worker *w, struct slu_bytes key, const struct slu_keep_ops *ops, void *owner)
{
    struct slu_keep *k = calloc(1, sizeof(*k) + key.len);
    if (!k)
        return NULL;
    memcpy(k->bytes, key.data, key.len);
    k->key = slu_bytes(k->bytes, key.len);
    k->worker = w;
    k->ops = ops;
    k->owner = owner;
    k->waits_end = &k->waits;
    slu_timer_init(&k->timer, due);
    slu_buf_init(&k->value, SLU_STATE_VALUE_MAX);
    slu_buf_init(&k->last, SLU_STATE_VALUE_MAX);
    slu_list_init(&k->link);
    slu_list_push_back(&w->keeps, &k->link);
    charge(k);
    ask(k, SLU_STATE_CLAIM, claimed);
    return k;
}

uint64_t slu_keep_generation(const struct slu_keep *k)
{
    return k->generation;
}

struct slu_bytes slu_keep_key(const struct slu_keep *k)
{
    return k->key;
}

void slu_keep_changed(struct slu_keep *k)
{
    k->changes++;
    arm(k);
}

void slu_keep_drifted(struct slu_keep *k)
{
    k->has_drifted = true;
    arm(k);
}

void slu_keep_wait(struct slu_keep *k, struct slu_keep_wait *wait)
{
    if (k->changes == k->written) {
        wait->done(wait, SLU_OK);
        return;
    }
    wait->mark = k->changes;
    wait->next = NULL;
    *k->waits_end = wait;
    k->waits_end = &wait->next;
    arm(k);
}

void slu_keep_unwait(struct slu_keep *k, struct slu_keep_wait *wait)
{
    for (struct slu_keep_wait **link = &k->waits; *link; link = &(*link)->next) {
        if (*link != wait)
            continue;
        *link = wait->next;
        if (!*link)
            k->waits_end = link;
        return;
    }
}

void slu_keep_end(struct slu_keep *k)
{
    if (!k)
        return;
    if (k->is_claimed && (k->changes > k->written || k->has_drifted)) {
        k->ops->write(k->owner, &k->last);
        if (k->last.failed)
            slu_buf_clear(&k->last);
    }
    k->owner = NULL;
    slu_wheel_cancel(&k->worker->wheel, &k->timer);
    charge(k);
    if (!k->is_busy)
        wind_up(k);
}

void slu_keep_drop(struct slu_keep *k)
{
    if (!k)
        return;
    k->owner = NULL;
    slu_buf_clear(&k->last);
    slu_wheel_cancel(&k->worker->wheel, &k->timer);
    if (!k->is_busy)
        wind_up(k);
}
