/* JSON text <-> CBOR item after RFC 8949 section 6: what a reader of the other encoding gets. No recursion, bounded
 * depth; output bounded by the buffer's max.
 *
 * JSON -> CBOR: integer notation becomes an integer, beyond 64 bits a bignum (tag 2 or 3); -0 and numbers with a point
 * or exponent become the shortest float with the value of the nearest double. Escapes are decoded, a surrogate without
 * partner becomes U+FFFD. All lengths are definite and shortest.
 *
 * CBOR -> JSON: byte strings become base64url text without padding, inside tag 22 base64, inside tag 23 upper-case
 * base16 (the innermost of 21 to 23 counts); bignums base64url text, a negative one with '~' before it; other tags
 * vanish; NaN, infinities, undefined and other simple values become null. A map key that is no text becomes text
 * holding its JSON form. Keys that so become equal both stay. A map, array or tag as a key inside such a key is
 * refused, since each further level would double its backslashes. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

/* Both append to out. SLU_EBAD_FRAME: the input is not well-formed, or as above; SLU_ETOO_LARGE: out failed. What was
 * appended by then stays and is of no use. */
enum slu_err slu_transcode_json_to_cbor(struct slu_bytes json, struct slu_buf *out);
enum slu_err slu_transcode_cbor_to_json(struct slu_bytes cbor, struct slu_buf *out);
