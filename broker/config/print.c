/* The configuration as text: what is in force (--print-config), a sample with every option, and the help. All three
 * walk the tables, so that a new row shows up in each. */
#include "broker/config/cmdline.h"
#include "broker/config/value.h"

enum { COLUMN_NOTE = 48, COLUMN_MAX = 100 };

static void add_blanks(struct slu_buf *out, size_t n)
{
    while (n-- > 0)
        slu_buf_add_byte(out, ' ');
}

/* Text in lines of at most COLUMN_MAX, each behind `lead`. */
static void wrap(const char *text, const char *lead, struct slu_buf *out)
{
    while (*text) {
        size_t room = COLUMN_MAX - strlen(lead), n = strlen(text);
        if (n > room) {
            n = room;
            while (n > 1 && text[n] != ' ')
                n--;
        }
        slu_buf_addf(out, "%s%.*s\n", lead, (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
}

/* The end of a line that began at `start`: a comment in its column. */
static void end_line(struct slu_buf *out, size_t start, const char *note)
{
    size_t width = out->len - start;
    add_blanks(out, width < COLUMN_NOTE ? COLUMN_NOTE - width : 1);
    slu_buf_addf(out, "# %s\n", note);
}

static void print_origin(const struct slu_config *c, const struct slu_option *o, struct slu_buf *out)
{
    const struct slu_origin *from = &c->origin[o - slu_options];
    switch (from->kind) {
    case SLU_FROM_FILE:
        slu_buf_addf(out, "%s:%u", *c->file ? c->file : "configuration", from->line);
        break;
    case SLU_FROM_ENVIRONMENT:
        slu_buf_add_str(out, "environment: ");
        slu_option_env_name(o, out);
        break;
    case SLU_FROM_FLAG:
        slu_buf_add_str(out, "command line");
        break;
    default:
        slu_buf_add_str(out, c->dev && o->alt ? "default under --dev" : "default");
        break;
    }
}

/* A comment may hold no line break, whatever the file is called. */
static void end_line_bytes(struct slu_buf *out, size_t start, struct slu_buf *note)
{
    for (size_t i = 0; i < note->len; i++)
        if (note->data[i] < 0x20 || note->data[i] >= 0x7f)
            note->data[i] = '?';
    slu_buf_add_byte(note, 0);
    end_line(out, start, note->failed ? "" : (const char *)note->data);
}

static void print_option(const struct slu_config *c, const struct slu_option *o, struct slu_buf *out)
{
    size_t start = out->len, section = slu_option_section_len(o);
    struct slu_buf note;
    slu_buf_init(&note, 8192);
    slu_buf_addf(out, "%s%s: ", section ? "  " : "", o->key + (section ? section + 1 : 0));
    const void *field = slu_option_cfield(o, c);
    if ((o->flags & SLU_SECRET) && **(char *const *)field)
        slu_buf_add_str(out, "\"(not shown)\"");
    else
        slu_value_print(o, field, out);
    print_origin(c, o, &note);
    end_line_bytes(out, start, &note);
    slu_buf_fini(&note);
}

static void print_rule(const struct slu_config *c, const struct slu_config_rule *r, struct slu_buf *out)
{
    for (size_t i = 0; i < SLU_KEY_COUNT; i++) {
        const struct slu_option *key = &slu_rule_keys[i];
        const void *field = slu_option_cfield(key, r);
        size_t start = out->len;
        struct slu_buf note;
        bool is_unset = slu_type_is_list(key->type) && !key->def && !((const struct slu_strings *)field)->set;
        if (is_unset) /* differs from an empty list */
            continue;
        slu_buf_init(&note, 8192);
        slu_buf_addf(out, "%s%s: ", i == 0 ? "  - " : "    ", key->key);
        slu_value_print(key, field, out);
        if (r->key_line[i])
            slu_buf_addf(&note, "%s:%u", *c->file ? c->file : "configuration", r->key_line[i]);
        else
            slu_buf_add_str(&note, r->line ? "default" : "built in");
        end_line_bytes(out, start, &note);
        slu_buf_fini(&note);
    }
}

/* Writes "limits:" where a section begins. */
static void begin_section(const struct slu_option *o, const char *lead, struct slu_buf *out)
{
    size_t len = slu_option_section_len(o);
    bool is_same = o > slu_options && slu_option_section_len(o - 1) == len && strncmp(o[-1].key, o->key, len) == 0;
    if (len > 0 && !is_same)
        slu_buf_addf(out, "%s%.*s:\n", lead, (int)len, o->key);
}

void slu_config_print(const struct slu_config *c, struct slu_buf *out)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        if (o->type == SLU_TYPE_RULES) {
            slu_buf_addf(out, "%s:\n", o->key);
            for (size_t r = 0; r < c->n_rules; r++)
                print_rule(c, &c->rules[r], out);
            continue;
        }
        begin_section(o, "", out);
        print_option(c, o, out);
    }
}

/* A default as it would be written into a file. */
static void print_default(const struct slu_option *o, struct slu_buf *out)
{
    if (slu_type_is_list(o->type)) {
        const char *p = o->def ? o->def : "";
        bool is_one = *p && !strchr(p, ',');
        slu_buf_add_str(out, is_one ? "" : "[");
        while (*p) {
            size_t n = strcspn(p, ",");
            slu_quote(slu_bytes(p, n), out);
            p += n + (p[n] == ',');
            slu_buf_add_str(out, *p ? ", " : "");
        }
        slu_buf_add_str(out, is_one ? "" : "]");
    } else if (o->type == SLU_TYPE_STRING || o->type == SLU_TYPE_FILTER) {
        slu_quote(slu_str(o->def ? o->def : ""), out);
    } else {
        slu_buf_add_str(out, o->def);
    }
}

/* Help, then what the option takes, wrapped. */
static void describe(const struct slu_option *o, const char *lead, bool is_rule_key, struct slu_buf *out)
{
    struct slu_buf text;
    slu_buf_init(&text, 4096);
    slu_buf_add_str(&text, o->help);
    slu_value_bounds(o, &text);
    if (o->alt)
        slu_buf_addf(&text, " %s %s.", is_rule_key ? "With log: disk the default is" : "Under --dev the default is",
                     o->alt);
    if (o->alt2)
        slu_buf_addf(&text, " With log: none it is %s.", o->alt2);
    if (!is_rule_key && !(o->flags & SLU_RELOAD))
        slu_buf_add_str(&text, " Not changed by a reload.");
    slu_buf_add_byte(&text, 0);
    if (!text.failed)
        wrap((const char *)text.data, lead, out);
    slu_buf_fini(&text);
}

static void sample_rules(const struct slu_option *o, struct slu_buf *out)
{
    describe(o, "# ", false, out);
    slu_buf_addf(out, "%s:\n", o->key);
    slu_buf_add_str(out, "  # An example; the values shown are the defaults.\n");
    for (size_t i = 0; i < SLU_KEY_COUNT; i++) {
        const struct slu_option *key = &slu_rule_keys[i];
        describe(key, "  #   # ", true, out);
        slu_buf_addf(out, "  #%s%s: ", i == 0 ? " - " : "   ", key->key);
        if (i == SLU_KEY_FILTER)
            slu_buf_add_str(out, "\"prices/#\"");
        else if (slu_type_is_list(key->type) && !key->def)
            slu_buf_add_str(out, "[\"*\"]");
        else
            print_default(key, out);
        slu_buf_add_byte(out, '\n');
    }
}

void slu_config_print_sample(struct slu_buf *out)
{
    slu_buf_add_str(
        out, "# Configuration of sluiced: every option with its default. Take away the # before what you change.\n"
             "# The same names work on the command line, --set limits.payload=4MiB, and in the environment,\n"
             "# SLUICE_LIMITS_PAYLOAD=4MiB; these win over the file, the command line over all. Lists there have\n"
             "# commas. Sizes: B kB MB GB TB KiB MiB GiB TiB. Durations: ms s m h d. Check a file with\n"
             "# sluiced --config FILE --check-config\n");
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        size_t section = slu_option_section_len(o);
        slu_buf_add_byte(out, '\n');
        begin_section(o, "", out);
        if (o->type == SLU_TYPE_RULES) {
            sample_rules(o, out);
            continue;
        }
        describe(o, section ? "  # " : "# ", false, out);
        slu_buf_addf(out, "%s#%s: ", section ? "  " : "", o->key + (section ? section + 1 : 0));
        print_default(o, out);
        slu_buf_add_byte(out, '\n');
    }
}

static void help_flag(const struct slu_flag *f, struct slu_buf *out)
{
    size_t start = out->len;
    slu_buf_addf(out, "  --%s%s%s", f->name, f->argument ? " " : "", f->argument ? f->argument : "");
    size_t width = out->len - start;
    add_blanks(out, width < 24 ? 24 - width : 1);
    slu_buf_addf(out, "%s\n", f->help);
}

void slu_config_print_help(struct slu_buf *out)
{
    slu_buf_add_str(out, "Usage: sluiced [FLAG]...\n\nA pub/sub message broker over WebSockets.\n\nFlags:\n");
    for (size_t i = 0; i < SLU_FLAG_COUNT; i++)
        help_flag(&slu_flags[i], out);
    slu_buf_add_str(out, "\nOptions, for the file, for --set and (as SLUICE_LISTEN_PUBLIC for listen.public) for the "
                         "environment:\n");
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        slu_buf_addf(out, "  %s", o->key);
        if (o->def) {
            slu_buf_add_str(out, "  (default ");
            print_default(o, out);
            slu_buf_add_byte(out, ')');
        }
        slu_buf_add_byte(out, '\n');
        describe(o, "        ", false, out);
    }
    slu_buf_add_str(out, "\nKeys of a rule in topics:\n");
    for (size_t i = 0; i < SLU_KEY_COUNT; i++) {
        slu_buf_addf(out, "  %s", slu_rule_keys[i].key);
        if (slu_rule_keys[i].def) {
            slu_buf_add_str(out, "  (default ");
            print_default(&slu_rule_keys[i], out);
            slu_buf_add_byte(out, ')');
        }
        slu_buf_add_byte(out, '\n');
        describe(&slu_rule_keys[i], "        ", true, out);
    }
    slu_buf_add_str(out,
                    "\nSIGHUP reloads the file, SIGTERM drains and ends. Exit: 0 good, 1 failure, 2 mistake in flags "
                    "or configuration.\n");
}
