// Defaults of each kind, applied while decoding, and that a second time changes nothing.

import Objects
import System
import Testing

/// The decoded object; checks that its defaults are stable.
func decoded(_ id: ResourceID, _ text: String) throws -> JSON {
    let declaration = try declaration(id)
    let once = try declaration.decode(object(text)).object
    let twice = try declaration.decode(once).object
    #expect(once == twice, "defaults of \(id) are not idempotent")
    return once
}

@Suite struct DefaultsTests {
    @Test func pod() throws {
        let pod = try decoded(
            .pods,
            """
            {"metadata":{"name":"a"},"spec":{"serviceAccountName":"robot","containers":[
              {"name":"a","image":"nginx","ports":[{"containerPort":80}],
               "env":[{"name":"N","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],
               "livenessProbe":{"httpGet":{"port":80}},"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}},
              {"name":"b","image":"reg.example:5000/app:1.2"},{"name":"c","image":"app@sha256:0000"}],
             "volumes":[{"name":"v"},{"name":"c","configMap":{"name":"c"}},{"name":"s","secret":{"secretName":"s"}},
               {"name":"p","projected":{"sources":[{"serviceAccountToken":{"path":"token"}}]}}]}}
            """)
        let spec = try #require(pod["spec"])
        #expect(spec["restartPolicy"] == "Always" && spec["dnsPolicy"] == "ClusterFirst")
        #expect(spec["schedulerName"] == "default-scheduler" && spec["terminationGracePeriodSeconds"] == 30)
        #expect(spec["securityContext"] == [:] && spec["enableServiceLinks"] == true)
        #expect(spec["serviceAccount"] == "robot")
        let first = try #require(spec["containers"]?[0])
        #expect(first["imagePullPolicy"] == "Always")
        #expect(spec["containers"]?[1]?["imagePullPolicy"] == "IfNotPresent")
        #expect(spec["containers"]?[2]?["imagePullPolicy"] == "IfNotPresent")
        #expect(first["terminationMessagePath"] == "/dev/termination-log")
        #expect(first["terminationMessagePolicy"] == "File")
        #expect(first["ports"]?[0]?["protocol"] == "TCP")
        #expect(first.at("env")?[0]?.at("valueFrom", "fieldRef", "apiVersion") == "v1")
        #expect(
            first["livenessProbe"] == [
                "httpGet": ["port": 80, "path": "/", "scheme": "HTTP"], "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3,
            ])
        #expect(first.at("resources", "requests") == ["cpu": "500m", "memory": "1Gi"])
        #expect(spec["containers"]?[1]?["resources"] == [:])
        #expect(spec["volumes"]?[0]?["emptyDir"] == [:])
        #expect(spec["volumes"]?[1]?.at("configMap", "defaultMode") == 420)
        #expect(spec["volumes"]?[2]?.at("secret", "defaultMode") == 420)
        #expect(
            spec["volumes"]?[3]?.at("projected", "sources")?[0]?.at("serviceAccountToken", "expirationSeconds") == 3600)
    }

    @Test func hostNetworkPortsOfPodsOnly() throws {
        let spec = #"{"hostNetwork":true,"containers":[{"name":"a","ports":[{"containerPort":80}]}]}"#
        let pod = try decoded(.pods, #"{"spec":"# + spec + "}")
        #expect(pod.at("spec", "containers")?[0]?["ports"]?[0]?["hostPort"] == 80)
        let set = try decoded(.replicaSets, #"{"spec":{"template":{"spec":"# + spec + "}}}")
        #expect(set.at("spec", "template", "spec", "containers")?[0]?["ports"]?[0]?["hostPort"] == nil)
    }

    @Test func deploymentAndReplicaSet() throws {
        let text =
            #"{"metadata":{"name":"a"},"spec":{"selector":{},"template":{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}}}"#
        let deployment = try decoded(.deployments, text)
        #expect(deployment.at("spec", "replicas") == 1)
        #expect(
            deployment.at("spec", "strategy") == [
                "type": "RollingUpdate", "rollingUpdate": ["maxSurge": "25%", "maxUnavailable": "25%"],
            ])
        #expect(deployment.at("spec", "revisionHistoryLimit") == 10)
        #expect(deployment.at("spec", "progressDeadlineSeconds") == 600)
        #expect(deployment.at("spec", "template", "spec", "restartPolicy") == "Always")
        // Only pods get these two.
        #expect(deployment.at("spec", "template", "spec", "enableServiceLinks") == nil)
        #expect(
            deployment.at("spec", "template", "spec", "containers")?[0]?.at("resources", "requests") == nil)
        #expect(try decoded(.replicaSets, text).at("spec", "replicas") == 1)
        let zero = try decoded(.deployments, #"{"spec":{"replicas":0,"strategy":{"type":"Recreate"}}}"#)
        #expect(zero.at("spec", "replicas") == 0)
        #expect(zero.at("spec", "strategy", "rollingUpdate") == nil)
    }

    @Test func service() throws {
        let service = try decoded(
            .services, #"{"spec":{"ports":[{"port":80},{"port":81,"targetPort":"web"}]}}"#)
        #expect(service.at("spec", "type") == "ClusterIP" && service.at("spec", "sessionAffinity") == "None")
        #expect(service.at("spec", "internalTrafficPolicy") == "Cluster")
        #expect(service.at("spec", "externalTrafficPolicy") == nil)
        #expect(service.at("spec", "ports")?[0] == ["port": 80, "protocol": "TCP", "targetPort": 80])
        #expect(service.at("spec", "ports")?[1]?["targetPort"] == "web")
        let sticky = try decoded(.services, #"{"spec":{"type":"NodePort","sessionAffinity":"ClientIP"}}"#)
        #expect(sticky.at("spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds") == 10800)
        #expect(sticky.at("spec", "externalTrafficPolicy") == "Cluster")
    }

    @Test func others() throws {
        let namespace = try decoded(.namespaces, #"{"metadata":{"name":"blue"}}"#)
        #expect(namespace.at("metadata", "labels", "kubernetes.io/metadata.name") == "blue")
        let secret = try decoded(.secrets, #"{"stringData":{"a":"b"}}"#)
        #expect(secret["type"] == "Opaque" && secret.at("data", "a") == "Yg==" && secret["stringData"] == nil)
        let slice = try decoded(.endpointSlices, #"{"addressType":"IPv4","ports":[{"port":80}]}"#)
        #expect(slice["ports"]?[0] == ["name": "", "port": 80, "protocol": "TCP"])
        let node = try decoded(.nodes, #"{"spec":{"podCIDR":"10.42.0.0/24"}}"#)
        #expect(node.at("spec", "podCIDRs") == ["10.42.0.0/24"])
    }
}
