#include "CRecordingVFS.h"
