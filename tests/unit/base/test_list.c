/* The intrusive ring. */
#include "broker/base/list.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

struct bead {
    int number;
    struct slu_list link;
};

static int sum_and_check(struct slu_list *head, const int *want, int n)
{
    int i = 0;
    slu_list_each (it, head) {
        cr_assert(i < n && slu_container_of(it, struct bead, link)->number == want[i]);
        i++;
    }
    return i;
}

Test(list, pushes_keep_their_order_and_removal_is_safe_twice)
{
    struct slu_list head;
    struct bead b[4] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };
    slu_list_init(&head);
    cr_assert(slu_list_empty(&head));
    slu_list_push_back(&head, &b[1].link);
    slu_list_push_back(&head, &b[2].link);
    slu_list_push_front(&head, &b[0].link);
    slu_list_insert_after(&b[2].link, &b[3].link);
    cr_assert(eq(int, sum_and_check(&head, (const int[]){ 0, 1, 2, 3 }, 4), 4));
    slu_list_remove(&b[1].link);
    slu_list_remove(&b[1].link);
    cr_assert(eq(int, sum_and_check(&head, (const int[]){ 0, 2, 3 }, 3), 3));
}

Test(list, a_walk_may_remove_what_it_sees)
{
    struct slu_list head;
    struct bead b[5];
    slu_list_init(&head);
    for (int i = 0; i < 5; i++)
        slu_list_push_back(&head, &b[i].link);
    int seen = 0;
    slu_list_each (it, &head) {
        slu_list_remove(it);
        seen++;
    }
    cr_assert(eq(int, seen, 5));
    cr_assert(slu_list_empty(&head));
}
