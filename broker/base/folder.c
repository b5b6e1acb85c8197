#include "broker/base/folder.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool join(char *out, size_t cap, const char *base, size_t n, const char *rest)
{
    int len = snprintf(out, cap, "%.*s%s", (int)n, base, rest);
    return len > 0 && (size_t)len < cap;
}

static const char *home(void)
{
    const char *named = getenv("HOME");
    if (named && *named == '/')
        return named;
    const struct passwd *p = getpwuid(geteuid());
    return p && p->pw_dir && *p->pw_dir == '/' ? p->pw_dir : NULL;
}

bool slu_data_folder(bool dev, char *out, size_t cap)
{
    const char *state = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *own;
    if (dev)
        return join(out, cap, "", 0, "./sluice-data");
    if (state && *state == '/')
        return join(out, cap, state, strcspn(state, ":"), ""); /* systemd may name several: the first is ours */
    if (geteuid() == 0)
        return join(out, cap, "", 0, "/var/lib/sluice");
    if (xdg && *xdg == '/')
        return join(out, cap, xdg, strlen(xdg), "/sluice");
    own = home();
    return own && join(out, cap, own, strlen(own), "/.local/state/sluice");
}
