/* SPDX-License-Identifier: Apache-2.0
 *
 * A build-time tool: writes a C file that holds the bytes of other files.
 *
 *     embed OUT FILE...
 *
 * The generated file defines the table that lib/base/asset.h reads, sorted by path as CMake's glob
 * delivers it. It holds data only; a trailing NUL byte lets text be used as a C string. */
#include <stdio.h>
#include <stdlib.h>

static long copy_bytes(FILE *out, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        perror(path);
        exit(1);
    }
    long count = 0;
    for (int c; (c = fgetc(in)) != EOF; count++)
        fprintf(out, "%d,%s", c, count % 32 == 31 ? "\n" : "");
    fclose(in);
    return count;
}

int main(int argc, char **argv)
{
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (!out) {
        perror("embed: output file");
        return 1;
    }
    fputs("#include \"lib/base/asset.h\"\n", out);
    for (int i = 2; i < argc; i++) {
        fprintf(out, "static const unsigned char data_%d[] = {\n", i);
        copy_bytes(out, argv[i]);
        fputs("0};\n", out);
    }
    fputs("const struct asset embedded_assets[] = {\n", out);
    for (int i = 2; i < argc; i++)
        fprintf(out, "{\"%s\", (const char *)data_%d, sizeof data_%d - 1},\n", argv[i], i, i);
    fprintf(out, "{0, 0, 0}};\nconst size_t embedded_asset_count = %d;\n", argc - 2);
    return fclose(out) == 0 ? 0 : 1;
}
