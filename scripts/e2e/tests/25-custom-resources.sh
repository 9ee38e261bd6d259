# Custom resources: schemas, defaults, pruning, columns, subresources, selectors, apply, removal

check "create the definition" k apply -f "$here/chart/crds/greeting.yaml"
check "it is established" k wait --for=condition=Established crd/greetings.e2e.noded.dev --timeout=60s
greeting() { jq -nc --arg name "$1" --argjson spec "$2" '{apiVersion: "e2e.noded.dev/v1", kind: "Greeting", metadata: {name: $name}, spec: $spec}'; }
k apply -f - <<<"$(greeting one '{"text":"hello","extra":{"any":[1,{"thing":true}]}}')" >/dev/null
same "defaults are filled in, free fields kept" '{"extra":{"any":[1,{"thing":true}]},"text":"hello","times":1,"tone":"warm"}' "$(k get greeting one -o json | jq -cS .spec)"
refused "unknown fields are told" 'unknown field "spec.nope"' k apply -f - <<<"$(greeting two '{"text":"x","nope":1}')"
check "and pruned when told to" k create --validate=false -f - <<<"$(greeting two '{"text":"cool","nope":1,"tone":"cold"}')"
same "pruned" null "$(k get greeting two -o json | jq .spec.nope)"
refused "a wrong type" 'spec.times: Invalid value: "string": spec.times in body must be of type integer' k create --validate=false -f - <<<"$(greeting bad '{"text":"x","times":"many"}')"
refused "a missing field" 'spec.text: Required value' k create --validate=false -f - <<<"$(greeting bad '{}')"
refused "a value outside the enumeration" 'spec.tone: Unsupported value: "hot"' k create --validate=false -f - <<<"$(greeting bad '{"text":"x","tone":"hot"}')"
refused "a number out of range" 'spec.times: Invalid value: 101' k create --validate=false -f - <<<"$(greeting bad '{"text":"x","times":101}')"
refused "a text that does not match" "spec.text in body should match" k create --validate=false -f - <<<"$(greeting bad '{"text":"x1"}')"
refused "a key twice in a list that is a map" 'Duplicate value' k create --validate=false -f - <<<"$(greeting bad '{"text":"x","parts":[{"name":"a"},{"name":"a"}]}')"
expect "columns" '^NAME +TEXT +AGE' k get greetings
expect "short name and category" 'greeting.e2e.noded.dev/one' k get gr,all -o name
same "selectable fields" greeting.e2e.noded.dev/two "$(k get greetings --field-selector spec.tone=cold -o name)"
expect "explain" 'FIELDS|FIELD:' k explain greeting.spec.tone
expect "discovery" '^greetings +gr +e2e.noded.dev/v1 +true +Greeting' k api-resources --api-group=e2e.noded.dev
check "scale" k scale greeting one --replicas=3
same "scaled where its path says" 3 "$(k get greeting one -o jsonpath='{.spec.times}')"
same "a change of spec counts" 2 "$(k get greeting one -o jsonpath='{.metadata.generation}')"
check "status" k patch greeting one --subresource=status --type=merge -p '{"status":{"times":3},"spec":{"text":"no"}}'
same "status only" "hello 3 2" "$(k get greeting one -o jsonpath='{.spec.text} {.status.times} {.metadata.generation}')"
parts() { jq -nc --arg n "$1" '{apiVersion: "e2e.noded.dev/v1", kind: "Greeting", metadata: {name: "one"}, spec: {parts: [{name: $n, value: "v"}]}}'; }
check "apply one part" k apply --server-side --field-manager=a -f - <<<"$(parts a)"
check "another manager applies another" k apply --server-side --field-manager=b -f - <<<"$(parts b)"
same "both are there" "a b" "$(k get greeting one -o jsonpath='{.spec.parts[*].name}')"
refused "strategic merge is not for them" 'Unsupported|not supported|UnsupportedMediaType' k patch greeting one --type=strategic -p '{"spec":{"times":2}}'

# A definition of over a megabyte, as operators have them.
jq -n '{apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: {name: "larges.e2e.noded.dev"}, spec: {group: "e2e.noded.dev", scope: "Cluster",
  names: {kind: "Large", plural: "larges"}, versions: [{name: "v1", served: true, storage: true, schema: {openAPIV3Schema: {type: "object", properties: {spec: {type: "object",
  properties: ([range(0; 4000) | {key: "field\(.)", value: {type: "object", description: ("What field \(.) is for. " * 8), properties: {a: {type: "string"}, b: {type: "integer"}}}}] | from_entries)}}}}}]}}' >"$WORK/large.json"
same "the large definition is large" true "$([ "$(jq -c . "$WORK/large.json" | wc -c)" -gt 1000000 ] && echo true)"
check "apply --server-side of it" k apply --server-side -f "$WORK/large.json"
check "it is established" k wait --for=condition=Established crd/larges.e2e.noded.dev --timeout=60s
check "an object of it" k apply -f - <<<'{"apiVersion":"e2e.noded.dev/v1","kind":"Large","metadata":{"name":"l"},"spec":{"field7":{"a":"x"}}}'
check "delete the definitions, and their objects with them" k delete crd larges.e2e.noded.dev greetings.e2e.noded.dev --timeout=180s
refused "gone" 'NotFound|not found' k get crd greetings.e2e.noded.dev
