/* Content filters of subscriptions: {"headers.region":"eu","data.px":{"gt":100}}. AND of comparisons on headers or on
 * top-level fields of a JSON or CBOR payload; a comparison across types is false, and so is every one with a field that
 * is not there, but for exists:false. What stands behind "headers." or "data." is the name, further dots included. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/err.h"
#include "broker/core/session.h"

enum { SLU_FILTER_CONDITIONS = 32, SLU_FILTER_IN_VALUES = 256 };

/* Compiles JSON text (a filter in CBOR is transcoded before). SLU_EBAD_FILTER: *why says what is wrong (static text).
 * The caller owns *out until it hands it to the core. */
enum slu_err slu_payload_filter_new(struct slu_bytes json, struct slu_content_filter **out, const char **why);
