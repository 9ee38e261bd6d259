# The Python client: typed, dynamic, watch, server-side apply, leader election

python_client=${NODED_CACHE:-/var/cache/noded-tools}/python
if [ ! -x "$python_client/bin/python3" ] || ! "$python_client/bin/python3" -c 'import kubernetes' 2>/dev/null; then
  /usr/bin/python3 -m venv "$python_client" && "$python_client/bin/python3" -m pip install -q kubernetes >/dev/null 2>&1 ||
    fail "install the kubernetes Python client"
fi
if "$python_client/bin/python3" -c 'import kubernetes' 2>/dev/null; then
  while IFS= read -r line; do
    case $line in
      "ok "*) ok "${line#ok }" ;;
      *) fail "${line#FAIL }" ;;
    esac
  done < <(timeout 300 nsenter --net="/run/netns/$NODE" "$python_client/bin/python3" "$here/client.py" "$DATA/admin.kubeconfig" 2>&1)
fi
