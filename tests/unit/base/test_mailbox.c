/* Order, bounds and wake-ups of the mailbox; then many threads posting at once. */
#include "broker/base/mailbox.h"

#include "broker/base/list.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>

struct letter {
    struct slu_mail mail;
    int from, number;
};

struct reader {
    struct slu_mailbox box;
    int got[64], n;
    struct letter *answer; /* posted from within run */
};

static _Atomic int wakes;

static void on_wake(void *arg)
{
    (void)arg;
    wakes++;
}

static void on_letter(struct slu_mail *m, void *owner)
{
    struct reader *r = owner;
    r->got[r->n++] = slu_container_of(m, struct letter, mail)->number;
    if (r->answer) {
        struct letter *a = r->answer;
        r->answer = NULL;
        slu_mailbox_post(&r->box, &a->mail);
    }
}

static struct letter letters[10];

static void setup(struct reader *r)
{
    wakes = 0;
    *r = (struct reader){ .n = 0 };
    slu_mailbox_init(&r->box, on_wake, NULL);
    for (int i = 0; i < 10; i++)
        letters[i] = (struct letter){ .mail.run = on_letter, .number = i };
}

Test(mailbox, mails_run_in_the_order_of_posts)
{
    struct reader r;
    setup(&r);
    for (int i = 0; i < 10; i++)
        slu_mailbox_post(&r.box, &letters[i].mail);
    cr_assert(not(slu_mailbox_run(&r.box, &r, 100)));
    cr_assert(eq(int, r.n, 10));
    for (int i = 0; i < 10; i++)
        cr_assert(eq(int, r.got[i], i));
}

Test(mailbox, only_the_post_into_an_empty_box_wakes)
{
    struct reader r;
    setup(&r);
    slu_mailbox_post(&r.box, &letters[0].mail);
    slu_mailbox_post(&r.box, &letters[1].mail);
    cr_assert(eq(int, wakes, 1));
    slu_mailbox_run(&r.box, &r, 100);
    slu_mailbox_post(&r.box, &letters[2].mail);
    cr_assert(eq(int, wakes, 2));
}

Test(mailbox, what_max_leaves_runs_before_newer_mail)
{
    struct reader r;
    setup(&r);
    for (int i = 0; i < 5; i++)
        slu_mailbox_post(&r.box, &letters[i].mail);
    cr_assert(slu_mailbox_run(&r.box, &r, 3));
    cr_assert(eq(int, r.n, 3));
    for (int i = 5; i < 10; i++)
        slu_mailbox_post(&r.box, &letters[i].mail);
    cr_assert(slu_mailbox_run(&r.box, &r, 2));
    cr_assert(eq(int, r.n, 5));
    cr_assert(not(slu_mailbox_run(&r.box, &r, 100)));
    for (int i = 0; i < 10; i++)
        cr_assert(eq(int, r.got[i], i));
}

Test(mailbox, mail_posted_while_running_waits_for_the_next_turn)
{
    struct reader r;
    setup(&r);
    r.answer = &letters[1];
    slu_mailbox_post(&r.box, &letters[0].mail);
    cr_assert(slu_mailbox_run(&r.box, &r, 100));
    cr_assert(eq(int, r.n, 1));
    cr_assert(eq(int, wakes, 2));
    cr_assert(not(slu_mailbox_run(&r.box, &r, 100)));
    cr_assert(eq(int, r.n, 2));
}

Test(mailbox, an_empty_box_has_nothing_to_run)
{
    struct reader r;
    setup(&r);
    cr_assert(not(slu_mailbox_run(&r.box, &r, 1)));
    cr_assert(not(slu_mailbox_run(&r.box, &r, 0)));
}

/* ---- threads ---- */

enum { POSTERS = 4, EACH = 50000 };

struct crowd {
    struct slu_mailbox box;
    sem_t bell;
    int next[POSTERS], total;
    bool in_order;
};

static void ring(void *arg)
{
    sem_post(arg);
}

static void count(struct slu_mail *m, void *owner)
{
    struct crowd *c = owner;
    struct letter *l = slu_container_of(m, struct letter, mail);
    c->in_order &= l->number == c->next[l->from]++;
    c->total++;
    free(l);
}

struct poster {
    struct crowd *to;
    int from;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < EACH; i++) {
        struct letter *l = malloc(sizeof(*l));
        if (!l)
            abort();
        *l = (struct letter){ .mail.run = count, .from = p->from, .number = i };
        slu_mailbox_post(&p->to->box, &l->mail);
    }
    return NULL;
}

Test(mailbox, many_posters_lose_nothing_and_each_keeps_its_order, .timeout = 60)
{
    static struct crowd c = { .in_order = true };
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    sem_init(&c.bell, 0, 0);
    slu_mailbox_init(&c.box, ring, &c.bell);
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){ &c, i };
        cr_assert(eq(int, pthread_create(&threads[i], NULL, post_many, &posters[i]), 0));
    }
    /* sleeps whenever nothing is left and nobody rang: a lost wake-up would hang here */
    while (c.total < POSTERS * EACH) {
        sem_wait(&c.bell);
        while (slu_mailbox_run(&c.box, &c, 100))
            ;
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert(c.in_order);
    cr_assert(eq(int, c.total, POSTERS *EACH));
}
