// A pod runs as a service account of its namespace, which must exist; unless someone says no, each of its containers
// finds a short-lived token for the API where client libraries look for it.

internal import Objects
internal import System

struct ServiceAccountAdmission: AdmissionStep {
    /// Where client libraries look for token, CA and namespace.
    static let mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
    static let volumePrefix = "kube-api-access-"
    static let mirrorAnnotation = "kubernetes.io/config.mirror"

    private static let ephemeral = WriteTarget.subresource("ephemeralcontainers")

    func concerns(_ site: AdmissionSite) -> Bool {
        site.creates(.pods)
            || site.resource == .pods && site.operation == .update && site.target == ServiceAccountAdmission.ephemeral
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.target == .main else { return }
        if request.object.at("metadata", "annotations", ServiceAccountAdmission.mirrorAnnotation) != nil {
            return try checkMirror(request)
        }
        let spec = request.object["spec"]
        var name = spec?["serviceAccountName"]?.string ?? ""
        if name.isEmpty { name = spec?["serviceAccount"]?.string ?? "" }
        if name.isEmpty { name = "default" }
        request.object.set("spec", "serviceAccountName", to: .string(name))
        request.object.set("spec", "serviceAccount", to: .string(name))
        let account = try account(name, request, core)
        if let fault = MountableSecrets.fault(of: request.object, account: account) { throw request.forbidden(fault) }
        if (spec?["imagePullSecrets"]?.array ?? []).isEmpty,
            let secrets = account["imagePullSecrets"]?.array, !secrets.isEmpty
        {
            request.object.set("spec", "imagePullSecrets", to: .array(secrets))
        }
        let wants = spec?["automountServiceAccountToken"]?.bool ?? account["automountServiceAccountToken"]?.bool
        if wants ?? true { ServiceAccountAdmission.mountToken(&request.object) }
    }

    /// What joins a running pod is held to what its account may use, too.
    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.target == ServiceAccountAdmission.ephemeral else { return }
        // Only a mirror pod has no account.
        guard let name = request.object.at("spec", "serviceAccountName")?.string, !name.isEmpty else { return }
        let account = try account(name, request, core)
        if let fault = MountableSecrets.ephemeralFault(of: request.object, account: account) {
            throw request.forbidden(fault)
        }
    }

    private func account(_ name: String, _ request: AdmissionRequest, _ core: APICore) throws(APIStatus) -> JSON {
        guard let account = core.peek(.serviceAccounts, namespace: request.namespace, name: name)?.tree() else {
            throw request.forbidden(
                "error looking up service account \(request.namespace)/\(name): serviceaccount \"\(name)\" not found")
        }
        return account
    }

    /// A mirror pod is a kubelet's picture of a static pod: it runs without the API, so it may not lean on it.
    private func checkMirror(_ request: AdmissionRequest) throws(APIStatus) {
        let spec = request.object["spec"]
        if !(spec?["serviceAccountName"]?.string ?? "").isEmpty {
            throw request.forbidden("a mirror pod may not reference service accounts")
        }
        for volume in spec?["volumes"]?.array ?? [] {
            if volume["secret"] != nil { throw request.forbidden("a mirror pod may not reference secrets") }
            for source in volume.at("projected", "sources")?.array ?? [] where source["serviceAccountToken"] != nil {
                throw request.forbidden("a mirror pod may not use projected service account tokens")
            }
        }
    }

    /// Adds the volume, and a mount of it to each container that has nothing else there.
    static func mountToken(_ pod: inout JSON) {
        var volumes = pod.at("spec", "volumes")?.array ?? []
        let present = volumes.compactMap { $0["name"]?.string }.first { $0.hasPrefix(volumePrefix) }
        let name = present ?? volumePrefix + Random.nameSuffix(5)
        let mount: JSON = ["name": .string(name), "readOnly": true, "mountPath": .string(mountPath)]
        var isNeeded = false
        for list in ["initContainers", "containers"] {
            guard var containers = pod.at("spec", list)?.array else { continue }
            for index in containers.indices {
                let mounts = containers[index]["volumeMounts"]?.array ?? []
                if mounts.contains(where: { $0["mountPath"]?.string == mountPath }) { continue }
                containers[index]["volumeMounts"] = .array(mounts + [mount])
                isNeeded = true
            }
            pod.set("spec", list, to: .array(containers))
        }
        guard isNeeded, present == nil else { return }
        volumes.append(["name": .string(name), "projected": tokenSources])
        pod.set("spec", "volumes", to: .array(volumes))
    }

    /// Token (renewed before its hour is over), CA and namespace.
    private static let tokenSources: JSON = [
        "defaultMode": 420,
        "sources": [
            ["serviceAccountToken": ["path": "token", "expirationSeconds": 3607]],
            ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
            [
                "downwardAPI": [
                    "items": [
                        ["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]
                    ]
                ]
            ],
        ],
    ]
}
