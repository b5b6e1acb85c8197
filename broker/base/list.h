/* Intrusive doubly linked ring. A node that is in no list is linked to itself, so removing it twice is harmless. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct slu_list {
    struct slu_list *prev, *next;
};

#define slu_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void slu_list_init(struct slu_list *l)
{
    l->prev = l->next = l;
}

static inline bool slu_list_empty(const struct slu_list *l)
{
    return l->next == l;
}

static inline void slu_list_insert_after(struct slu_list *at, struct slu_list *n)
{
    n->prev = at;
    n->next = at->next;
    at->next->prev = n;
    at->next = n;
}

static inline void slu_list_push_back(struct slu_list *head, struct slu_list *n)
{
    slu_list_insert_after(head->prev, n);
}

static inline void slu_list_push_front(struct slu_list *head, struct slu_list *n)
{
    slu_list_insert_after(head, n);
}

static inline void slu_list_remove(struct slu_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    slu_list_init(n);
}

/* Safe against removal of `it` itself while walking. */
#define slu_list_each(it, head) \
    for (struct slu_list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)
