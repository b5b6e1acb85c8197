/* The hash map against an array of flags, through growth, shrinking and walks. */
#include "broker/base/map.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

struct thing {
    char name[12];
    struct slu_map_node node;
    bool in, seen;
};

enum { THINGS = 20000 };

static struct thing things[THINGS];

static struct thing *thing_of(const struct slu_map_node *n)
{
    return (struct thing *)((char *)(uintptr_t)n - offsetof(struct thing, node));
}

static struct slu_bytes name_of(const struct slu_map_node *n)
{
    return slu_str(thing_of(n)->name);
}

static void make_things(void)
{
    for (int i = 0; i < THINGS; i++) {
        snprintf(things[i].name, sizeof(things[i].name), "%d", i);
        things[i].in = false;
    }
}

static void check(const struct slu_map *m, int i)
{
    struct slu_map_node *n = slu_map_get(m, slu_str(things[i].name));
    cr_assert(n == (things[i].in ? &things[i].node : NULL), "%d", i);
}

Test(map, an_empty_map_has_nothing_and_no_memory)
{
    struct slu_map m;
    slu_map_init(&m, name_of);
    cr_assert(zero(ptr, slu_map_get(&m, SLU_LIT("x"))));
    cr_assert(eq(sz, slu_map_bytes(&m), 0));
    struct slu_map_iter it = { 0 };
    cr_assert(zero(ptr, slu_map_next(&m, &it)));
    slu_map_fini(&m);
}

Test(map, agrees_with_flags_while_it_grows_and_shrinks, .timeout = 60)
{
    struct slu_map m;
    make_things();
    slu_map_init(&m, name_of);
    srand(7);
    size_t n = 0;
    for (int step = 0; step < 400000; step++) {
        int i = rand() % THINGS;
        /* phases: mostly adding, then mostly deleting */
        bool grow = step / 80000 % 2 == 0;
        if (!things[i].in && (grow || rand() % 8 == 0)) {
            cr_assert(slu_map_add(&m, &things[i].node));
            things[i].in = true;
            n++;
        } else if (things[i].in && (!grow || rand() % 8 == 0)) {
            slu_map_del(&m, &things[i].node);
            things[i].in = false;
            n--;
        }
        cr_assert(eq(sz, m.n, n));
        check(&m, i);
        check(&m, rand() % THINGS);
    }
    for (int i = 0; i < THINGS; i++) {
        check(&m, i);
        if (things[i].in)
            slu_map_del(&m, &things[i].node);
    }
    cr_assert(le(sz, slu_map_bytes(&m), 64 * sizeof(void *)));
    slu_map_fini(&m);
}

Test(map, a_table_that_became_sparse_shrinks)
{
    struct slu_map m;
    make_things();
    slu_map_init(&m, name_of);
    for (int i = 0; i < THINGS; i++)
        cr_assert(slu_map_add(&m, &things[i].node));
    size_t full = slu_map_bytes(&m);
    for (int i = 10; i < THINGS; i++)
        slu_map_del(&m, &things[i].node);
    for (int round = 0; round < THINGS; round++) {
        cr_assert(slu_map_add(&m, &things[100].node));
        slu_map_del(&m, &things[100].node);
    }
    cr_assert(lt(sz, slu_map_bytes(&m), full / 16));
    for (int i = 0; i < THINGS; i++) {
        things[i].in = i < 10;
        check(&m, i);
    }
    slu_map_fini(&m);
}

Test(map, a_walk_sees_each_once_and_may_delete_what_it_sees, .timeout = 60)
{
    /* sizes around the points where the table is changing */
    for (int size = 1; size < 1200; size += size < 70 ? 1 : 37) {
        struct slu_map m;
        make_things();
        slu_map_init(&m, name_of);
        for (int i = 0; i < size; i++) {
            things[i].seen = false;
            cr_assert(slu_map_add(&m, &things[i].node));
        }
        struct slu_map_iter it = { 0 };
        int seen = 0;
        for (struct slu_map_node *n; (n = slu_map_next(&m, &it)); seen++) {
            struct thing *t = thing_of(n);
            cr_assert(not(t->seen));
            t->seen = true;
            if (seen % 3 == 0 || size % 2 == 0)
                slu_map_del(&m, n);
        }
        cr_assert(eq(int, seen, size));
        cr_assert(size % 2 || m.n == 0);
        slu_map_fini(&m);
    }
}

Test(map, keys_of_one_hash_are_told_apart)
{
    struct slu_map m;
    make_things();
    slu_map_init(&m, name_of);
    for (int i = 0; i < 20; i++)
        cr_assert(slu_map_add_hashed(&m, &things[i].node, 42));
    for (int i = 0; i < 20; i++)
        cr_assert(slu_map_get_hashed(&m, slu_str(things[i].name), 42) == &things[i].node);
    cr_assert(zero(ptr, slu_map_get_hashed(&m, SLU_LIT("20"), 42)));
    slu_map_fini(&m);
}

static bool is_thing(const struct slu_map_node *n, const void *arg)
{
    return thing_of(n) == arg;
}

Test(map, find_asks_the_caller_which_node_is_meant)
{
    struct slu_map m;
    make_things();
    slu_map_init(&m, NULL);
    for (int i = 0; i < 100; i++)
        cr_assert(slu_map_add_hashed(&m, &things[i].node, (uint64_t)i % 7));
    for (int i = 0; i < 100; i++)
        cr_assert(slu_map_find(&m, (uint64_t)i % 7, is_thing, &things[i]) == &things[i].node);
    cr_assert(zero(ptr, slu_map_find(&m, 1, is_thing, &things[0])));
    slu_map_fini(&m);
}

Test(map, a_hash_depends_on_the_parent)
{
    cr_assert(eq(u64, slu_hash(SLU_LIT("a")), slu_hash(SLU_LIT("a"))));
    cr_assert(ne(u64, slu_hash(SLU_LIT("a")), slu_hash(SLU_LIT("b"))));
    cr_assert(ne(u64, slu_hash_below(1, SLU_LIT("a")), slu_hash_below(2, SLU_LIT("a"))));
    cr_assert(eq(u64, slu_hash((struct slu_bytes){ NULL, 0 }), slu_hash(SLU_LIT(""))));
}
