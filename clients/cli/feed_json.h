/* The payloads of `sluice feed system`: each appends one JSON object to a buffer. Percentages carry one decimal, rates
 * are whole units a second, sizes are bytes. */
#pragma once

#include "broker/base/buf.h"
#include "clients/cli/feed_host.h"

void slu_feed_json_cpu(const struct slu_cpu_sample *before, const struct slu_cpu_sample *now, struct slu_buf *out);
void slu_feed_json_memory(const struct slu_memory *m, struct slu_buf *out);
void slu_feed_json_load(const struct slu_load *l, struct slu_buf *out);
void slu_feed_json_disk(const struct slu_disk *before, const struct slu_disk *now, double seconds, struct slu_buf *out);
void slu_feed_json_net(const struct slu_net *before, const struct slu_net *now, double seconds, struct slu_buf *out);
void slu_feed_json_processes(const struct slu_process_share *top, size_t n, size_t in_all, uint64_t page_bytes,
                             struct slu_buf *out);
void slu_feed_json_info(const struct slu_host_info *i, double hz, struct slu_buf *out);
