// Embeds declarations/*.json. #embed is C23; clang takes it in earlier modes too, with a warning that says nothing of
// use here. Clang lists embedded files among the dependencies of this object, so a changed declaration rebuilds it.
#pragma clang diagnostic ignored "-Wc23-extensions"
#include "CDeclarations.h"
#include "declarations/declarations.inc"

size_t declaration_count(void) { return sizeof files / sizeof files[0]; }

struct declaration_file declaration_at(size_t index) { return files[index]; }
