// Preloaded into wrk, which has no option for a client certificate: every TLS context gets the one that WRK_CERT and
// WRK_KEY name (PEM files). Preloaded into noded with SLOW_SYNC_MS set: fsync and fdatasync take that much longer.
#pragma once
