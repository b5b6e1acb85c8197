/* Text for people, lines of JSON for programs. On a terminal control characters of foreign messages are shown, never
 * obeyed. */
#include "clients/cli/printer.h"

#include "broker/base/json.h"

#include <string.h>
#include <time.h>

enum { INDENT = 2 };

static const char formats[] = "tpjokeTsl%nrh";

bool slu_cli_output_of(const char *name, enum cli_output *out)
{
    static const char *const names[] = { [CLI_OUT_TEXT] = "text", [CLI_OUT_JSONL] = "jsonl", [CLI_OUT_JSON] = "json" };
    *out = CLI_OUT_TEXT;
    if (!name)
        return true;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum cli_output)i;
            return true;
        }
    }
    return false;
}

const char *slu_cli_format_wrong(const char *f)
{
    for (; f && *f; f++) {
        if (*f != '%')
            continue;
        if (!f[1] || !strchr(formats, f[1]))
            return f;
        f++;
    }
    return NULL;
}

/* ---- JSON ---- */

static void add_time(struct slu_buf *b, int64_t ts_ms)
{
    char text[40];
    struct tm tm;
    time_t s = (time_t)(ts_ms / 1000);
    if (!gmtime_r(&s, &tm))
        return;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    slu_buf_addf(b, "%s.%03dZ", text, (int)(ts_ms % 1000));
}

static void add_member(struct slu_buf *b, const char *name)
{
    slu_buf_addf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
}

static void add_string(struct slu_buf *b, const char *name, struct sluice_span v)
{
    if (!v.data)
        return;
    add_member(b, name);
    slu_json_add_string(b, slu_bytes(v.data, v.len));
}

static void message_json(struct slu_buf *b, const struct sluice_message *m, bool no_topic)
{
    slu_buf_add_byte(b, '{');
    if (!no_topic)
        add_string(b, "topic", m->topic);
    if (m->kind == SLUICE_BINARY) {
        add_member(b, "data64");
        slu_buf_add_byte(b, '"');
        slu_buf_add_base64(b, slu_bytes(m->payload.data, m->payload.len));
        slu_buf_add_byte(b, '"');
    } else if (m->json.data) {
        add_member(b, "data");
        slu_buf_add(b, m->json.data, m->json.len);
    }
    if (m->ts_ms) {
        add_member(b, "ts");
        slu_buf_add_i64(b, m->ts_ms);
    }
    if (m->epoch.data) {
        add_member(b, "offset");
        slu_buf_add_u64(b, m->offset);
        add_string(b, "epoch", m->epoch);
    }
    add_string(b, "key", m->key);
    if (m->headers.data) {
        add_member(b, "headers");
        slu_buf_add(b, m->headers.data, m->headers.len);
    }
    add_string(b, "reply", m->reply);
    if (m->retained) {
        add_member(b, "retained");
        slu_buf_add_str(b, "true");
    }
    if (m->attempt) {
        add_member(b, "try");
        slu_buf_add_u64(b, m->attempt);
    }
    slu_buf_add_byte(b, '}');
}

static void newline(struct slu_buf *b, size_t depth)
{
    static const char spaces[] = "                                ";
    size_t n = depth * INDENT;
    slu_buf_add_byte(b, '\n');
    slu_buf_add(b, spaces, n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1);
}

/* `in` is validated compact JSON. */
static void indent(struct slu_buf *b, struct slu_bytes in)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];
        bool empty = i + 1 < in.len && (c == '{' || c == '[') && in.data[i + 1] == c + 2;
        if (quoted) {
            slu_buf_add_byte(b, c);
            if (c == '\\' && i + 1 < in.len)
                slu_buf_add_byte(b, in.data[++i]);
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        if ((c == '}' || c == ']') && !(i > 0 && in.data[i - 1] == c - 2))
            newline(b, --depth);
        slu_buf_add_byte(b, c);
        if (c == ',')
            newline(b, depth);
        else if (c == ':')
            slu_buf_add_byte(b, ' ');
        else if ((c == '{' || c == '[') && !empty)
            newline(b, ++depth);
    }
}

static void put_out(struct slu_buf *b)
{
    slu_buf_add_byte(b, '\n');
    if (!b->failed)
        fwrite(b->data, 1, b->len, stdout);
    slu_buf_fini(b);
}

void slu_cli_print_json(const struct cli_printer *p, struct sluice_span json)
{
    struct slu_buf compact, out;
    slu_buf_init(&compact, 0);
    slu_buf_init(&out, 0);
    slu_json_compact(slu_bytes(json.data, json.len), &compact);
    if (p->output == CLI_OUT_JSON)
        indent(&out, slu_buf_bytes(&compact));
    else
        slu_buf_add_bytes(&out, slu_buf_bytes(&compact));
    slu_buf_fini(&compact);
    put_out(&out);
}

/* ---- text ---- */

static void add_visible(struct slu_buf *b, struct sluice_span v, bool tty)
{
    if (!tty) {
        slu_buf_add(b, v.data, v.len);
        return;
    }
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.data[i];
        bool c1 = c == 0xc2 && i + 1 < v.len && (unsigned char)v.data[i + 1] < 0xa0;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c1)
            slu_buf_addf(b, "\\x%02x", c);
        else
            slu_buf_add_byte(b, c);
    }
}

static void add_payload(struct slu_buf *b, const struct cli_printer *p, const struct sluice_message *m)
{
    if (m->kind == SLUICE_BINARY && p->tty)
        slu_buf_add_base64(b, slu_bytes(m->payload.data, m->payload.len));
    else
        add_visible(b, m->payload, p->tty);
}

static void add_directive(struct slu_buf *b, char c, const struct cli_printer *p, const struct sluice_message *m)
{
    switch (c) {
    case 't':
        add_visible(b, m->topic, p->tty);
        break;
    case 'p':
        add_payload(b, p, m);
        break;
    case 'j':
        message_json(b, m, p->no_topic);
        break;
    case 'o':
        slu_buf_add_u64(b, m->offset);
        break;
    case 'e':
        add_visible(b, m->epoch, p->tty);
        break;
    case 'k':
        add_visible(b, m->key, p->tty);
        break;
    case 'r':
        add_visible(b, m->reply, p->tty);
        break;
    case 'h':
        add_visible(b, m->headers, p->tty);
        break;
    case 'T':
        add_time(b, m->ts_ms);
        break;
    case 's':
        slu_buf_add_i64(b, m->ts_ms);
        break;
    case 'l':
        slu_buf_add_u64(b, m->payload.len);
        break;
    case 'n':
        slu_buf_add_byte(b, '\n');
        break;
    default:
        slu_buf_add_byte(b, (uint8_t)c);
        break;
    }
}

static void print_format(const struct cli_printer *p, const struct sluice_message *m)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    for (const char *f = p->format; *f; f++) {
        if (*f == '%' && f[1])
            add_directive(&b, *++f, p, m);
        else
            slu_buf_add_byte(&b, (uint8_t)*f);
    }
    put_out(&b);
}

void slu_cli_print_message(const struct cli_printer *p, const struct sluice_message *m)
{
    struct slu_buf b;
    if (p->format) {
        print_format(p, m);
        return;
    }
    slu_buf_init(&b, 0);
    if (p->output != CLI_OUT_TEXT) {
        message_json(&b, m, p->no_topic);
        if (!b.failed)
            slu_cli_print_json(p, (struct sluice_span){ (const char *)b.data, b.len });
        slu_buf_fini(&b);
        return;
    }
    if (!p->no_topic && m->topic.data) {
        slu_buf_add_str(&b, p->color ? "\033[36m" : "");
        add_visible(&b, m->topic, p->tty);
        slu_buf_add_str(&b, p->color ? "\033[0m " : " ");
    }
    add_payload(&b, p, m);
    put_out(&b);
}
