/* Payload detection and input. */
#include "clients/cli/payload.h"

#include "broker/base/json.h"
#include "broker/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 << 20, FIRST_READ = 64 * 1024 };

bool slu_cli_kind_ok(const struct cli_kind *k)
{
    return k->text + k->json + k->binary <= 1;
}

bool slu_cli_kind_of(const struct cli_kind *force, const void *data, size_t len, enum sluice_kind *kind,
                     const char **why)
{
    struct slu_json_value v;
    struct slu_bytes bytes = slu_bytes(data, len);
    bool utf8 = slu_utf8_valid(bytes);
    bool json = utf8 && !force->binary && !force->text && slu_json_scan(bytes, &v, NULL);
    if (force->json && !json) {
        *why = "is not valid JSON";
        return false;
    }
    if (force->text && !utf8) {
        *why = "is not valid UTF-8 text";
        return false;
    }
    if (force->binary)
        *kind = SLUICE_BINARY;
    else if (json)
        *kind = SLUICE_JSON_TRUSTED;
    else
        *kind = utf8 ? SLUICE_TEXT : SLUICE_BINARY;
    return true;
}

bool slu_cli_read_file(const char *path, char **data, size_t *len, const char **why)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char *buf = NULL;
    size_t used = 0, cap = 0;
    ssize_t n = fd < 0 ? -1 : 0;
    while (fd >= 0) {
        if (used == cap) {
            cap = cap ? cap * 2 : FIRST_READ;
            char *more = cap > FILE_MAX_BYTES ? NULL : realloc(buf, cap);
            if (!more) {
                errno = cap > FILE_MAX_BYTES ? EFBIG : ENOMEM;
                n = -1;
                break;
            }
            buf = more;
        }
        n = read(fd, buf + used, cap - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (n < 0) {
        *why = strerror(errno);
        free(buf);
    } else {
        *data = buf;
        *len = used;
    }
    if (fd >= 0 && !is_stdin)
        close(fd);
    return n >= 0;
}

bool slu_cli_headers(const struct cli_list *list, struct sluice_header **out, const char **wrong)
{
    struct sluice_header *h = calloc(list->n + 1, sizeof(*h));
    for (size_t i = 0; h && i < list->n; i++) {
        char *copy = strdup(list->v[i]);
        char *at = copy ? copy + strcspn(copy, "=:") : NULL;
        if (!at || !*at || at == copy) {
            *wrong = list->v[i];
            free(copy);
            for (size_t j = 0; j < i; j++)
                free((void *)(uintptr_t)h[j].name);
            free(h);
            return false;
        }
        *at++ = '\0';
        h[i].name = copy;
        h[i].value = at + strspn(at, " ");
    }
    *wrong = "out of memory";
    *out = h;
    return h != NULL;
}
