// The declaration files of the built-in resources (declarations/*.json, made by scripts/declare), embedded by the
// compiler so that noded stays one file and reads nothing at start. Consumed by Objects/Schema/Declarations.swift.
#pragma once
#include <stddef.h>

struct declaration_file {
    const char *name;
    const unsigned char *bytes; // UTF-8 JSON, not terminated
    size_t length;
};

/// The number of embedded files, and the file at `index` (0 ..< count).
size_t declaration_count(void);
struct declaration_file declaration_at(size_t index);

/// The roles and bindings that every cluster has: a JSON array of rbac.authorization.k8s.io objects.
struct declaration_file default_roles(void);
