/* The list of adapters. A new one is named here and nowhere else. */
#include "protocol/adapter.h"

const struct slu_adapter *const slu_adapters[] = {
    &slu_adapter_native_json,
    &slu_adapter_native_cbor,
    &slu_adapter_echo,
    NULL,
};

static bool answers_to(const struct slu_adapter *a, struct slu_bytes name)
{
    if (slu_bytes_eq(name, slu_str(a->name)))
        return true;
    for (const char *const *alias = a->aliases; alias && *alias; alias++)
        if (slu_bytes_eq(name, slu_str(*alias)))
            return true;
    return false;
}

const struct slu_adapter *slu_adapter_by_subprotocol(struct slu_bytes name, bool with_dev)
{
    for (const struct slu_adapter *const *a = slu_adapters; *a; a++)
        if (answers_to(*a, name))
            return (*a)->dev_only && !with_dev ? NULL : *a;
    return NULL;
}

const struct slu_adapter *slu_adapter_by_path(struct slu_bytes path)
{
    static const struct {
        const char *path;
        const struct slu_adapter *adapter;
    } rows[] = {
        { "/ws", &slu_adapter_native_json },
        { "/", &slu_adapter_native_json },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slu_bytes_eq(path, slu_str(rows[i].path)))
            return rows[i].adapter;
    return NULL;
}
