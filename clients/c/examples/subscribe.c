/* Prints every message that matches a filter: subscribe [URL [FILTER]] */
#include <sluice.h>
#include <stdio.h>

static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    (void)arg, (void)sub;
    printf("%.*s %.*s\n", (int)m->topic.len, m->topic.data, (int)m->payload.len, m->payload.data);
    fflush(stdout);
}

static void on_gap(void *arg, sluice_client_sub *sub, const struct sluice_gap *g)
{
    (void)arg, (void)sub;
    fprintf(stderr, "lost %llu messages: %.*s\n", (unsigned long long)g->lost, (int)g->reason.len, g->reason.data);
}

static void on_state(void *arg, sluice_client *c, const struct sluice_state_event *e)
{
    static const char *const names[] = { "idle", "connecting", "connected", "reconnecting", "closed" };
    (void)arg, (void)c;
    fprintf(stderr, "%s %.*s\n", names[e->state], (int)e->error.message.len,
            e->error.message.data ? e->error.message.data : "");
}

int main(int argc, char **argv)
{
    struct sluice_client_options o = { .url = argc > 1 ? argv[1] : "ws://localhost:8080/ws", .on_state = on_state };
    struct sluice_sub_options s = { .on_message = on_message, .on_gap = on_gap, .from = SLUICE_FROM_LATEST };
    sluice_client *c = NULL;
    enum sluice_status rc = sluice_client_new(&c, &o);
    if (rc == SLUICE_OK)
        rc = sluice_client_subscribe(c, argc > 2 ? argv[2] : "#", &s, NULL);
    if (rc == SLUICE_OK)
        rc = sluice_client_connect(c);
    if (rc == SLUICE_OK)
        rc = sluice_client_run(c);
    if (rc != SLUICE_OK)
        fprintf(stderr, "%s\n", sluice_client_strerror(rc));
    sluice_client_free(c);
    return rc != SLUICE_OK;
}
