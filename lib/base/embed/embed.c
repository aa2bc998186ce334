/* SPDX-License-Identifier: Apache-2.0
 *
 * A build-time tool: writes a C file that holds the bytes of other files.
 *
 *     embed OUT FILE...
 *
 * The generated file defines the tables that lib/base/asset.h declares: the files, sorted by path
 * as CMake's glob delivers them, and the statements in those of sql/statements/. It holds data
 * only; a trailing NUL byte lets text be used as a C string. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FOLDER[] = "sql/statements/";
static const char NAME[] = "-- name: ";

enum { LINE_SIZE = 1024 };

static FILE *open_or_exit(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void put_bytes(FILE *out, const char *path)
{
    FILE *in = open_or_exit(path, "rb");
    long count = 0;
    for (int c; (c = fgetc(in)) != EOF; count++)
        fprintf(out, "%d,%s", c, count % 32 == 31 ? "\n" : "");
    fclose(in);
}

/* As a string literal of its own. */
static void put_literal(FILE *out, const char *text, size_t size, const char *end)
{
    fputc('"', out);
    for (size_t i = 0; i < size; i++)
        fprintf(out, text[i] == '"' || text[i] == '\\' ? "\\%c" : "%c", text[i]);
    fprintf(out, "%s\"\n", end);
}

/* A statement goes from below its name to the first line that ends with a semicolon. Returns how
 * many there are. */
static int put_statements(FILE *out, const char *path)
{
    char line[LINE_SIZE];
    int count = 0;
    int inside = 0;
    FILE *in = open_or_exit(path, "r");
    while (fgets(line, sizeof line, in)) {
        size_t size = strcspn(line, "\n");
        int is_name = strncmp(line, NAME, sizeof NAME - 1) == 0;
        if ((is_name && inside) || line[size] != '\n') {
            fprintf(stderr, "%s: a statement without an end, or a long line: %s\n", path, line);
            exit(1);
        }
        if (is_name) {
            fputs("{", out);
            put_literal(out, line + sizeof NAME - 1, size - (sizeof NAME - 1), "");
            fputs(",", out);
            count++;
            inside = 1;
        } else if (inside) {
            int last = size > 0 && line[size - 1] == ';';
            put_literal(out, line, size - (size_t)last, last ? "" : "\\n");
            fputs(last ? "},\n" : "", out);
            inside = !last;
        }
    }
    if (inside) {
        fprintf(stderr, "%s: the last statement has no end\n", path);
        exit(1);
    }
    fclose(in);
    return count;
}

int main(int argc, char **argv)
{
    FILE *out = open_or_exit(argc > 1 ? argv[1] : "", "w");
    int count = 0;
    fputs("#include \"lib/base/asset.h\"\n", out);
    for (int i = 2; i < argc; i++) {
        fprintf(out, "static const unsigned char data_%d[] = {\n", i);
        put_bytes(out, argv[i]);
        fputs("0};\n", out);
    }
    fputs("const struct asset embedded_assets[] = {\n", out);
    for (int i = 2; i < argc; i++)
        fprintf(out, "{\"%s\", (const char *)data_%d, sizeof data_%d - 1},\n", argv[i], i, i);
    fprintf(out, "{0, 0, 0}};\nconst size_t embedded_asset_count = %d;\n", argc - 2);
    fputs("const struct embedded_statement embedded_statements[] = {\n", out);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], FOLDER, sizeof FOLDER - 1) == 0)
            count += put_statements(out, argv[i]);
    fprintf(out, "{0, 0}};\nconst size_t embedded_statement_count = %d;\n", count);
    return fclose(out) == 0 ? 0 : 1;
}
