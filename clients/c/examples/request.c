/* Asks and answers on one connection: request [URL] */
#include <sluice.h>
#include <stdio.h>
#include <string.h>

static void on_question(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    static const char answer[] = "{\"answer\":42}";
    (void)arg;
    if (m->reply.data)
        sluice_client_reply(sluice_client_sub_client(sub), m, answer, strlen(answer), SLUICE_JSON);
}

static void on_answer(void *arg, sluice_client *c, const struct sluice_result *r)
{
    (void)arg;
    if (r->error.status == SLUICE_OK)
        printf("%.*s after %.2f ms\n", (int)r->reply.json.len, r->reply.json.data, r->rtt_ms);
    else
        fprintf(stderr, "%.*s\n", (int)r->error.message.len, r->error.message.data);
    sluice_client_disconnect(c);
}

static void on_ready(void *arg, sluice_client_sub *sub, const struct sluice_result *r)
{
    static const char question[] = "\"what is the answer?\"";
    (void)arg;
    if (r->error.status == SLUICE_OK)
        sluice_client_request(sluice_client_sub_client(sub), "demo/ask", question, strlen(question), NULL, on_answer,
                              NULL);
}

int main(int argc, char **argv)
{
    struct sluice_client_options o = { .url = argc > 1 ? argv[1] : "ws://localhost:8080/ws", .connect_attempts = 3 };
    struct sluice_sub_options s = { .on_message = on_question, .on_ready = on_ready };
    sluice_client *c = NULL;
    enum sluice_status rc = sluice_client_new(&c, &o);
    if (rc == SLUICE_OK)
        rc = sluice_client_subscribe(c, "demo/ask", &s, NULL);
    if (rc == SLUICE_OK)
        rc = sluice_client_connect(c);
    if (rc == SLUICE_OK)
        rc = sluice_client_run(c);
    if (rc != SLUICE_OK)
        fprintf(stderr, "%s\n", sluice_client_strerror(rc));
    sluice_client_free(c);
    return rc != SLUICE_OK;
}
