/* Sizes and counts are bounded: a wrong folder is a plain error, not a full memory. */
#include "broker/net/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 512, MAX_DEPTH = 6, MAX_FILE_BYTES = 8 << 20, MAX_TOTAL_BYTES = 32 << 20 };

struct slu_files {
    struct slu_file *items;
    size_t n, cap, total;
};

static const struct {
    const char *suffix, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".mjs", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".json", "application/json" },
    { ".map", "application/json" },
    { ".webmanifest", "application/manifest+json" },
    { ".svg", "image/svg+xml" },
    { ".png", "image/png" },
    { ".jpg", "image/jpeg" },
    { ".ico", "image/vnd.microsoft.icon" },
    { ".woff2", "font/woff2" },
    { ".txt", "text/plain; charset=utf-8" },
};

static const char *type_of(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].suffix);
        if (len > n && strcmp(name + len - n, types[i].suffix) == 0)
            return types[i].type;
    }
    return NULL;
}

static bool read_all(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, out, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        out += n;
        len -= (size_t)n;
    }
    return true;
}

static uint64_t fnv64(const uint8_t *p, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct slu_file *new_item(struct slu_files *f)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;
        struct slu_file *items = realloc(f->items, cap * sizeof(*items));
        if (!items)
            return NULL;
        f->items = items;
        f->cap = cap;
    }
    struct slu_file *item = &f->items[f->n];
    memset(item, 0, sizeof(*item));
    return item;
}

static enum slu_err add_file(struct slu_files *f, int fd, const char *path, const char *type, struct slu_buf *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return SLU_OK;
    if (f->n == MAX_FILES || st.st_size > MAX_FILE_BYTES || f->total + (size_t)st.st_size > MAX_TOTAL_BYTES) {
        slu_buf_addf(error, "dashboard: %s is one file too many or too large; name a folder with static files only",
                     path);
        return SLU_ETOO_LARGE;
    }
    struct slu_file *item = new_item(f);
    if (!item)
        return SLU_ENOMEM;
    item->len = (size_t)st.st_size;
    item->path = strdup(path);
    item->data = malloc(item->len ? item->len : 1);
    item->type = type;
    f->n++;
    if (!item->path || !item->data)
        return SLU_ENOMEM;
    if (!read_all(fd, item->data, item->len)) {
        slu_buf_addf(error, "dashboard: %s cannot be read: %s", path, strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    f->total += item->len;
    snprintf(item->etag, sizeof(item->etag), "\"%016llx\"", (unsigned long long)fnv64(item->data, item->len));
    return SLU_OK;
}

static enum slu_err add_folder(struct slu_files *f, int dir_fd, const char *prefix, int depth, struct slu_buf *error);

static enum slu_err add_entry(struct slu_files *f, int dir_fd, const char *prefix, const char *name, int depth,
                              struct slu_buf *error)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", prefix, name);
    if (name[0] == '.' || len < 0 || (size_t)len >= sizeof(path))
        return SLU_OK;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return SLU_OK; /* a link, or not ours to read: then it is not there */
    struct stat st;
    enum slu_err rc = SLU_OK;
    const char *type = type_of(name);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (depth < MAX_DEPTH)
            return add_folder(f, fd, path, depth + 1, error);
    } else if (type) {
        rc = add_file(f, fd, strcmp(path, "/index.html") == 0 ? "/" : path, type, error);
    }
    close(fd);
    return rc;
}

/* Takes dir_fd over. */
static enum slu_err add_folder(struct slu_files *f, int dir_fd, const char *prefix, int depth, struct slu_buf *error)
{
    DIR *dir = fdopendir(dir_fd);
    if (!dir) {
        close(dir_fd);
        return SLU_ENOMEM;
    }
    enum slu_err rc = SLU_OK;
    struct dirent *entry;
    while (rc == SLU_OK && (entry = readdir(dir)) != NULL)
        rc = add_entry(f, dirfd(dir), prefix, entry->d_name, depth, error);
    closedir(dir);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct slu_file *)a)->path, ((const struct slu_file *)b)->path);
}

enum slu_err slu_files_load(const char *folder, struct slu_files **out, struct slu_buf *error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        slu_buf_addf(error, "dashboard: %s: %s; name a folder that the broker's user can read", folder,
                     strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    struct slu_files *f = calloc(1, sizeof(*f));
    if (!f) {
        close(fd);
        return SLU_ENOMEM;
    }
    enum slu_err rc = add_folder(f, fd, "", 0, error);
    if (rc != SLU_OK) {
        slu_files_free(f);
        return rc;
    }
    if (f->n > 0)
        qsort(f->items, f->n, sizeof(*f->items), by_path);
    *out = f;
    return SLU_OK;
}

void slu_files_free(struct slu_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->items[i].path);
        free(f->items[i].data);
    }
    free(f->items);
    free(f);
}

const struct slu_file *slu_files_get(const struct slu_files *f, struct slu_bytes path)
{
    size_t lo = 0, hi = f ? f->n : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const char *at = f->items[mid].path;
        size_t len = strlen(at);
        int order = memcmp(path.data, at, path.len < len ? path.len : len);
        if (order == 0 && path.len == len)
            return &f->items[mid];
        if (order < 0 || (order == 0 && path.len < len))
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
