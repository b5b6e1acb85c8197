/* A message's payload in the form that a JSON or a CBOR reader gets, whoever published it. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "broker/core/message.h"

/* How a payload shows in a JSON frame: as a value, or as bytes that travel as base64. */
enum slu_payload_shape { SLU_PAYLOAD_VALUE, SLU_PAYLOAD_BYTES };
enum slu_payload_shape slu_payload_json_shape(const struct slu_msg *m);

/* Appends one JSON value: the token as it was sent; CBOR transcoded; raw bodies by kind, untyped ones as the value if
 * the whole body is one object or array, else as a string. With shape BYTES: a string of base64. */
void slu_payload_add_json(struct slu_buf *out, const struct slu_msg *m, enum slu_payload_shape shape);

/* Appends one CBOR item: the item as it was sent; JSON transcoded; raw bodies by kind, bytes as a byte string. */
void slu_payload_add_cbor(struct slu_buf *out, const struct slu_msg *m);

/* The bytes that readers without types get: JSON text as sent, a string decoded, binary as it is. Borrowed from the
 * message where possible, else from scratch. False when scratch failed. */
bool slu_payload_bytes(const struct slu_msg *m, struct slu_buf *scratch, struct slu_bytes *out);
