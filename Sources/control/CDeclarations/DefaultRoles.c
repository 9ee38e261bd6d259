// Embeds roles/default-roles.json (made by scripts/declare-roles) as CDeclarations.c embeds the declarations.
#pragma clang diagnostic ignored "-Wc23-extensions"
#include "CDeclarations.h"

static const unsigned char default_roles_json[] = {
#embed "roles/default-roles.json"
};

struct declaration_file default_roles(void) {
    return (struct declaration_file){"default-roles.json", default_roles_json, sizeof default_roles_json};
}
