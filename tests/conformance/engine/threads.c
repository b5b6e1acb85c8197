/* An engine under real threads, without a test framework so that ThreadSanitizer can watch: every worker publishes to
 * shared topics, reads back what it is told was stored, and all homes count densely. Exits 0 when all of it held. */
#include "broker/base/list.h"
#include "broker/base/mailbox.h"
#include "storage/engine.h"
#include "tests/conformance/engine/sim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 4, MESSAGES = 20000, TOPICS = 16, IN_FLIGHT = 32, MAILS = 64 };

struct world;

struct worker {
    struct world *world;
    unsigned index, in_flight, sent;
    struct slu_mailbox box;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool has_mail, is_finished;
    uint64_t read, rng;
};

/* Only its home's thread writes here; a cache line apart. */
struct fed {
    uint64_t seq, n;
    uint8_t apart[64 - 2 * sizeof(uint64_t)];
};

struct world {
    struct slu_store *store;
    struct slu_account account;
    struct slu_rule rule;
    struct worker workers[WORKERS];
    struct fed homes[WORKERS];
    atomic_uint finished;
};

struct request {
    union {
        struct slu_append append;
        struct slu_scan scan;
        struct slu_tail tail;
        struct slu_locate locate;
        struct slu_state state;
    };
    struct worker *worker;
};

static void fail(const char *what)
{
    fprintf(stderr, "threads: %s\n", what);
    exit(1);
}

static void wake(void *arg)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    w->has_mail = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

static void post(void *arg, unsigned worker, struct slu_mail *mail)
{
    struct world *world = arg;
    slu_mailbox_post(&world->workers[worker].box, mail);
}

static void feed(void *arg, unsigned worker, struct slu_msg *m)
{
    struct fed *f = &((struct world *)arg)->homes[m->home];
    if ((worker != SLU_NO_WORKER && m->home != worker) || m->seq != f->seq + 1)
        fail("the feed is out of order");
    f->seq = m->seq;
    f->n++;
}

static uint64_t wall_ms(void *arg)
{
    (void)arg;
    return 1000000;
}

#define WATCHED SLU_LIT("t/0")

static struct request *request_new(struct worker *w)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r)
        fail("out of memory");
    r->worker = w;
    return r;
}

static struct slu_store_req how(const struct worker *w, void (*done)(struct slu_store_req *req))
{
    return (struct slu_store_req){ .worker = w->index, .done = done };
}

static unsigned watched_home(const struct worker *w)
{
    return slu_store_home_of(w->world->store, WATCHED, SLU_LOG_DISK);
}

/* After an append to the watched topic its worker reads in every way there is, one after the other. */
static void claimed(struct slu_store_req *req)
{
    struct request *r = (struct request *)(void *)req;
    if (req->err || !r->state.generation)
        fail("a state cannot be claimed");
    r->worker->in_flight--;
    free((void *)(uintptr_t)r->state.found.data);
    free(r);
}

static void located(struct slu_store_req *req)
{
    struct request *r = (struct request *)(void *)req, *next = request_new(r->worker);
    struct worker *w = r->worker;
    if (req->err || !r->locate.recovered || r->locate.head.offset < r->locate.first.offset)
        fail("a topic cannot be located");
    next->state = (struct slu_state){ .req = how(w, claimed), .op = SLU_STATE_CLAIM, .key = WATCHED };
    slu_store_state(w->world->store, &next->state);
    free(r);
}

static void tailed(struct slu_store_req *req)
{
    struct request *r = (struct request *)(void *)req, *next = request_new(r->worker);
    struct worker *w = r->worker;
    if (req->err || !r->tail.n)
        fail("newest values cannot be read");
    next->locate = (struct slu_locate){
        .req = how(w, located), .filter = WATCHED, .home = watched_home(w), .from = SLU_FROM_LAST, .n = 3
    };
    slu_store_locate(w->world->store, &next->locate);
    slu_page_free(r->tail.msgs, r->tail.n);
    free(r->tail.retained);
    free((void *)(uintptr_t)r->tail.next_topic.data);
    free(r);
}

static void scanned(struct slu_store_req *req)
{
    struct request *r = (struct request *)(void *)req, *next = request_new(r->worker);
    struct worker *w = r->worker;
    if (req->err || !r->scan.n)
        fail("what was stored cannot be read");
    for (size_t i = 1; i < r->scan.n; i++) {
        if (r->scan.msgs[i]->pos.offset != r->scan.msgs[i - 1]->pos.offset + 1)
            fail("offsets have a gap");
    }
    next->tail = (struct slu_tail){ .req = how(w, tailed),
                                    .filter = SLU_LIT("t/#"),
                                    .home = watched_home(w),
                                    .latest = w->read % 2,
                                    .last = 2,
                                    .max_seq = UINT64_MAX,
                                    .max_items = 10,
                                    .max_bytes = 1 << 20 };
    slu_store_tail(w->world->store, &next->tail);
    w->read++;
    slu_page_free(r->scan.msgs, r->scan.n);
    free(r);
}

static void scan_back(struct worker *w)
{
    struct request *r = request_new(w);
    r->scan = (struct slu_scan){
        .req = how(w, scanned), .filter = WATCHED, .max_items = 40, .home = watched_home(w), .max_bytes = 1 << 20
    };
    slu_store_scan(w->world->store, &r->scan);
}

static void appended(struct slu_store_req *req)
{
    struct request *r = (struct request *)(void *)req;
    if (req->err || r->append.pos.offset == 0 || r->append.pos.offset != r->append.msg->pos.offset)
        fail("an append went wrong");
    bool reads = slu_bytes_eq(r->append.msg->topic, WATCHED);
    if (reads)
        scan_back(r->worker);
    else
        r->worker->in_flight--;
    slu_msg_unref(r->append.msg);
    free(r);
}

static void publish(struct worker *w)
{
    char topic[16], key[32];
    w->rng = w->rng * UINT64_C(6364136223846793005) + 1;
    snprintf(topic, sizeof(topic), "t/%u", (unsigned)(w->rng >> 33) % TOPICS);
    snprintf(key, sizeof(key), "%u/%u", w->index, w->sent);
    struct slu_msg_spec spec = { .topic = slu_str(topic),
                                 .payload = SLU_LIT("payload"),
                                 .retain = w->sent % 32 == 0,
                                 .dedup = slu_str(w->sent % 16 ? NULL : key),
                                 .ts_ms = 1000000 };
    struct request *r = request_new(w);
    struct slu_msg *m = slu_msg_new(&w->world->account, &spec);
    if (!m)
        fail("out of memory");
    r->append = (struct slu_append){ .req = how(w, appended), .msg = m, .rule = &w->world->rule };
    w->in_flight++;
    w->sent++;
    slu_store_append(w->world->store, &r->append);
}

static void sleep_until_mail(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->has_mail)
        pthread_cond_wait(&w->woken, &w->lock);
    w->has_mail = false;
    pthread_mutex_unlock(&w->lock);
}

static void finish(struct worker *w)
{
    w->is_finished = true;
    if (atomic_fetch_add(&w->world->finished, 1) + 1 < WORKERS)
        return;
    for (unsigned i = 0; i < WORKERS; i++)
        wake(&w->world->workers[i]);
}

/* A worker goes on serving its home until all have finished. */
static void *work(void *arg)
{
    struct worker *w = arg;
    while (atomic_load(&w->world->finished) < WORKERS) {
        bool more = slu_mailbox_run(&w->box, w, MAILS);
        while (w->sent < MESSAGES && w->in_flight < IN_FLIGHT)
            publish(w);
        if (w->sent % 64 == 0)
            slu_store_tick(w->world->store, w->index);
        if (!w->is_finished && w->sent == MESSAGES && w->in_flight == 0)
            finish(w);
        else if (!more)
            sleep_until_mail(w);
    }
    return NULL;
}

int main(void)
{
    struct world *world = calloc(1, sizeof(*world));
    if (!world)
        fail("out of memory");
    world->account.budget = (size_t)1 << 30;
    world->rule = (struct slu_rule){ .log = SLU_LOG_DISK, .max_count = 50, .last_value = true };
    struct slu_engine_env env = { .workers = WORKERS,
                                  .arg = world,
                                  .account = &world->account,
                                  .post = post,
                                  .feed = feed,
                                  .wall_ms = wall_ms,
                                  .epoch_seed = 1,
                                  .dedup_window_ms = 1000 };
    const struct slu_engine *engine = engine_factory.make();
    struct slu_store_engines engines = { .path = engine_factory.path ? engine_factory.path() : NULL };
    *(engine->durable ? &engines.durable : &engines.memory) = engine;
    if (slu_store_open(&engines, &env, NULL, &world->store))
        fail("open");
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &world->workers[i];
        *w = (struct worker){ .world = world, .index = i, .rng = i + 1 };
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->woken, NULL);
        slu_mailbox_init(&w->box, wake, w);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_create(&world->workers[i].thread, NULL, work, &world->workers[i]);
    uint64_t fed = 0, read = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(world->workers[i].thread, NULL);
        fed += world->homes[i].n;
        read += world->workers[i].read;
    }
    if (fed != (uint64_t)WORKERS * MESSAGES)
        fail("not everything was fed");
    slu_store_close(world->store);
    if (atomic_load(&world->account.used))
        fail("memory stays in the account");
    printf("threads: %ju messages, %ju pages\n", (uintmax_t)fed, (uintmax_t)read);
    free(world);
    if (engine_factory.clean)
        engine_factory.clean();
    return 0;
}
