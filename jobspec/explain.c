/* SPDX-License-Identifier: Apache-2.0
 *
 * Help in words from the table of fields: `drover spec explain` and drover-job(5).
 */
#include "jobspec/diag.h"
#include "jobspec/field.h"

#include <string.h>

#define PATH_COLUMN 26

/* "none", "24h", "site where num_nodes may be over 1, else none"; NULL: it has none. */
static const char *preset_text(const Field *field)
{
    if (field_is_group(field) || (field->flags & FIELD_REQUIRED))
        return NULL;
    return field->preset_note ? field->preset_note : field->preset ? field->preset : "none";
}

/* "a duration: ms, s, m, h or d". Free with g_free. */
static char *type_text(const Field *field)
{
    bool number = field->type == FIELD_QUANTITY || field->type == FIELD_RANGE;
    g_autofree char *type = field_describe(field);
    g_autofree char *suffixes = number ? scalar_list_suffixes(field->unit) : NULL;

    return suffixes ? g_strdup_printf("%s, in %s", type, suffixes) : g_steal_pointer(&type);
}

/* "1s to 365d"; NULL for what is no number, or one number only. Free with g_free. */
static char *range_text(const Field *field)
{
    g_autofree char *low = NULL, *high = NULL;

    if (field->type != FIELD_INT && field->type != FIELD_INT_OR_WORD &&
        field->type != FIELD_QUANTITY && field->type != FIELD_RANGE && field->type != FIELD_PORTS)
        return NULL;
    if (field->min == field->max)
        return NULL;
    low = scalar_format_quantity(field->min, field->unit);
    if (field->max == INT64_MAX)
        return g_strdup_printf("at least %s", low);
    high = scalar_format_quantity(field->max, field->unit);
    return g_strdup_printf("%s to %s", low, high);
}

/* The example inside the mappings that lead to it. */
static void example_append(GString *out, const Field *field, const char *indent)
{
    g_auto(GStrv) parts = g_strsplit(field->path, ".", -1);
    guint count = g_strv_length(parts);

    if (field->record == RECORD_DEPENDENCY) {
        g_string_append_printf(out, "%s%s: [{%s: %s}]\n", indent, parts[0], parts[1],
                               field->example);
        return;
    }
    for (guint i = 0; i < count; i++)
        g_string_append_printf(out, "%s%*s%s:%s%s\n", indent, (int)(2 * i), "", parts[i],
                               i + 1 < count ? "" : " ", i + 1 < count ? "" : field->example);
}

static void children_append(GString *out, const Field *group)
{
    const Field *child = NULL;

    while ((child = field_next_child(group, child)))
        g_string_append_printf(out, "    %-*s %s\n", PATH_COLUMN, child->path, child->help);
}

static char *explain_field(const Field *field)
{
    GString *out = g_string_new(NULL);
    g_autofree char *type = type_text(field), *range = range_text(field);
    const char *preset = preset_text(field);

    g_string_append_printf(out, "%s\n\n  %s\n\n  type:     %s\n", field->path, field->help, type);
    for (const FieldWord *word = field->words; word && word->text; word++)
        g_string_append_printf(out, "            %-14s %s\n", word->text, word->help);
    if (range)
        g_string_append_printf(out, "  range:    %s\n", range);
    if (preset)
        g_string_append_printf(out, "  default:  %s\n", preset);
    if (field->flags & FIELD_REQUIRED)
        g_string_append(out, "  required\n");
    g_string_append(out, "  example:\n");
    example_append(out, field, "    ");
    if (field_next_child(field, NULL)) {
        g_string_append(out, "  fields:\n");
        children_append(out, field);
    }
    return g_string_free(out, FALSE);
}

static char *explain_all(void)
{
    GString *out = g_string_new(NULL);
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++) {
        const char *stop = strstr(table[i].help, ". ");
        int size = stop ? (int)(stop + 1 - table[i].help) : (int)strlen(table[i].help);

        g_string_append_printf(out, "%-*s %.*s\n", PATH_COLUMN, table[i].path, size, table[i].help);
    }
    return g_string_free(out, FALSE);
}

/* A field that was probably meant: the same last name, else a path spelled much alike. */
static const char *path_suggest(const char *path)
{
    size_t count;
    const Field *table = field_table(&count);
    g_autofree const char **paths = g_new(const char *, count);

    for (size_t i = 0; i < count; i++) {
        paths[i] = table[i].path;
        if (strcmp(field_get_name(&table[i]), path) == 0)
            return paths[i];
    }
    return diag_suggest(path, paths, count);
}

char *jobspec_explain(const char *path, GError **error)
{
    const Field *field;
    const char *near;
    g_autofree char *quoted = NULL;

    if (*path == '\0')
        return explain_all();
    field = field_find(path);
    if (field)
        return explain_field(field);
    quoted = diag_quote(path);
    near = path_suggest(path);
    g_set_error(error, JOBSPEC_DOMAIN, JOBSPEC_FAIL_UNKNOWN_FIELD,
                "no field %s in a job file%s%s%s", quoted, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
    return NULL;
}

/* ---- drover-job(5) ---- */

/* Text for mdoc: no line begins with a control character, no backslash or dash is special. */
static void roff_append(GString *out, const char *text)
{
    bool after_stop = false;

    if (*text == '.' || *text == '\'')
        g_string_append(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            g_string_append(out, "\\e");
        else if (*text == '-')
            g_string_append(out, "\\-");
        else if (*text == ' ' && after_stop && g_ascii_isupper(text[1]))
            g_string_append_c(out, '\n'); /* mdoc: a new sentence, a new line */
        else
            g_string_append_c(out, *text);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
            g_string_append(out, "\\&");
        after_stop = *text == '.';
    }
}

/* Sentences, each on a line of its own as mdoc wants it. */
static void roff_sentences(GString *out, const char *text)
{
    g_auto(GStrv) sentences = g_strsplit(text, ". ", -1);

    for (char **sentence = sentences; *sentence; sentence++) {
        roff_append(out, *sentence);
        g_string_append(out, sentence[1] ? ".\n" : "\n");
    }
}

static void roff_line(GString *out, const char *label, const char *text)
{
    g_string_append_printf(out, ".br\n%s", label);
    roff_append(out, text);
    g_string_append(out, "\n");
}

static void man_field(GString *out, const Field *field)
{
    g_autofree char *type = type_text(field), *range = range_text(field);
    g_autoptr(GString) example = g_string_new(NULL);
    const char *preset = preset_text(field);

    g_string_append(out, ".It Sy ");
    roff_append(out, field->path);
    g_string_append(out, "\n");
    roff_sentences(out, field->help);
    roff_line(out, "Type: ", type);
    for (const FieldWord *word = field->words; word && word->text; word++) {
        g_autofree char *line = g_strdup_printf("%s: %s", word->text, word->help);

        roff_line(out, "\\(bu ", line);
    }
    if (range)
        roff_line(out, "Range: ", range);
    if (preset)
        roff_line(out, "Default: ", preset);
    if (field->flags & FIELD_REQUIRED)
        roff_line(out, "Required", "");
    example_append(example, field, "");
    g_string_append(out, ".Bd -literal -compact\n");
    roff_append(out, example->str);
    g_string_append(out, ".Ed\n");
}

char *jobspec_man(void)
{
    static const char head[] =
        ".Dd November 24, 2026\n.Dt DROVER\\-JOB 5\n.Os\n.Sh NAME\n.Nm drover\\-job\n"
        ".Nd job file of drover\n.Sh DESCRIPTION\n"
        "A job file is YAML, read by the YAML 1.2 core schema: 1e\\-4 is a number, no is a text.\n"
        "Each document, divided from the next by a line of three dashes, is one job.\n"
        "Unknown and repeated fields are errors.\n"
        ".Ss Units and ranges\n"
        "Units are written out: GiB is 2 to the 30th bytes, GB is 10 to the 9th; a number without\n"
        "the unit it needs is an error.\nMoney is a decimal with at most six places.\n"
        "A range is N (exactly), N+ (at least), N\\- (at most) or A..B (both ends in).\n"
        "The word null stands for nothing asked for, where a field has no default.\n"
        ".Sh FIELDS\n.Bl -tag -width Ds\n";
    static const char tail[] =
        ".El\n.Sh ENVIRONMENT\n"
        "A rank has the environment of the command that runs the job, then the envs of the job,\n"
        "and:\n.Bl -tag -width Ds\n"
        ".It Ev RANK , WORLD_SIZE\nThe number of the rank, and how many there are.\n"
        ".It Ev LOCAL_RANK , LOCAL_WORLD_SIZE\nThe same among the ranks of the node.\n"
        ".It Ev NODE_RANK , GROUP_RANK\nThe number of the node.\n"
        ".It Ev MASTER_ADDR , MASTER_PORT\nAn address and a port where rank 0 can listen.\n"
        ".It Ev CUDA_VISIBLE_DEVICES\nThe leased GPUs of the node; LOCAL_RANK picks one.\n"
        ".It Ev OMP_NUM_THREADS\nThe cores of the rank, where envs does not set it.\n"
        ".It Ev DROVER_JOB , DROVER_ATTEMPT\nThe id of the job, and its attempts so far.\n"
        ".It Ev DROVER_CHECKPOINT_DIR\n"
        "Where checkpoints are kept between attempts; it is there, and empty at first.\n"
        ".It Ev DROVER_CHECKPOINT_EVERY_S , DROVER_CHECKPOINT_KEEP , DROVER_CHECKPOINT_SIGNAL\n"
        "The fields of checkpoint: seconds, a count, the number of the signal.\n"
        ".It Ev DROVER_DEADLINE\nWhen limits.max_duration is over, in seconds since 1970.\n"
        ".It Ev DROVER_ISLAND , DROVER_ISLANDS\nThe number of the island, and their count.\n"
        ".It Ev DROVER_TRAIN_BALANCE , DROVER_TRAIN_SYNC , DROVER_TRAIN_EVERY , "
        "DROVER_TRAIN_COMPRESS\nThe fields of train.\n"
        ".It Ev DROVER_PROGRESS_FD\n"
        "A file descriptor that takes reports, one JSON object a line, at most 4096 bytes:\n"
        ".Bd -literal -compact\n"
        "{\"event\":\"progress\",\"step\":1,\"steps\":100,\"loss\":4.1,\"val_loss\":4.2}\n"
        "{\"event\":\"checkpoint\",\"step\":20,\"path\":\"...\"}\n"
        ".Ed\n"
        "Members but event and step may be left out; progress may have tokens_per_s, and share\n"
        "(of the batch, 0 to 1).\n"
        ".El\n.Sh DIAGNOSTICS\n"
        "All errors of a file are shown in one pass, each with a code that stays the same.\n"
        ".Sh SEE ALSO\n.Xr drover 1\n";
    GString *out = g_string_new(head);
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        man_field(out, &table[i]);
    g_string_append(out, tail);
    return g_string_free(out, FALSE);
}
