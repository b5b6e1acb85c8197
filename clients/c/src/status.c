/* Texts of the public status codes, and the version. */
#include "clients/c/include/sluice.h"

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *sluice_client_strerror(enum sluice_status s)
{
    static const char *const texts[] = {
        [SLUICE_OK] = "done",
        [SLUICE_EAGAIN] = "too much is unsent: try again when there is room",
        [SLUICE_EINVAL] = "an argument is not valid",
        [SLUICE_ENOMEM] = "out of memory",
        [SLUICE_ETOOBIG] = "the message is too large",
        [SLUICE_ESTATE] = "not possible in this state",
        [SLUICE_ECONNECT] = "no connection",
        [SLUICE_ETLS] = "TLS failed",
        [SLUICE_EPROTO] = "the peer does not speak the protocol",
        [SLUICE_EBROKER] = "the broker refused",
        [SLUICE_ETIMEOUT] = "no answer came in time",
        [SLUICE_EUNKNOWN] = "the connection was lost before the answer came",
        [SLUICE_ECLOSED] = "closed",
    };
    return (unsigned)s < sizeof(texts) / sizeof(texts[0]) ? texts[s] : "unknown status";
}

const char *sluice_client_version(void)
{
    return TEXT(SLUICE_VERSION_MAJOR) "." TEXT(SLUICE_VERSION_MINOR) "." TEXT(SLUICE_VERSION_PATCH);
}
