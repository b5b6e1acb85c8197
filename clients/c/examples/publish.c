/* Publishes one JSON value and waits for the broker's answer: publish [URL [TOPIC [JSON]]] */
#include <sluice.h>
#include <stdio.h>
#include <string.h>

static void on_done(void *arg, sluice_client *c, const struct sluice_result *r)
{
    int *exit_code = arg;
    if (r->error.status == SLUICE_OK) {
        printf("read by %llu\n", (unsigned long long)r->matched);
        *exit_code = 0;
    } else {
        fprintf(stderr, "refused: %.*s\n", (int)r->error.message.len, r->error.message.data);
    }
    sluice_client_disconnect(c);
}

int main(int argc, char **argv)
{
    const char *topic = argc > 2 ? argv[2] : "demo/greeting", *json = argc > 3 ? argv[3] : "{\"hello\":\"world\"}";
    struct sluice_client_options o = { .url = argc > 1 ? argv[1] : "ws://localhost:8080/ws", .connect_attempts = 3 };
    sluice_client *c = NULL;
    int exit_code = 1;
    enum sluice_status rc = sluice_client_new(&c, &o);
    if (rc == SLUICE_OK) /* waits in the client until there is a connection */
        rc = sluice_client_publish(c, topic, json, strlen(json), NULL, on_done, &exit_code);
    if (rc == SLUICE_OK)
        rc = sluice_client_connect(c);
    if (rc == SLUICE_OK)
        rc = sluice_client_run(c);
    if (rc != SLUICE_OK)
        fprintf(stderr, "%s\n", sluice_client_strerror(rc));
    sluice_client_free(c);
    return exit_code;
}
