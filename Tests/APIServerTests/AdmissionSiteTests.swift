// Which admission steps look at which requests: what nobody cares for must cost nothing.

import Objects
import Testing

@testable import APIServer

@Suite struct AdmissionSiteTests {
    private func steps(
        _ id: ResourceID, _ operation: AdmissionRequest.Operation, _ subresource: String? = nil,
        isNamespaced: Bool = true
    ) -> [String] {
        let site = AdmissionSite(
            resource: id, isNamespaced: isNamespaced, operation: operation, target: WriteTarget(subresource))
        return AdmissionState().steps(site).map { "\(type(of: $0))" }
    }

    @Test func aRequestPaysOnlyForStepsThatLookAtIt() {
        #expect(steps(.configMaps, .create) == ["NamespaceLifecycle", "ResourceQuotaAdmission"])
        #expect(steps(.configMaps, .update) == [])
        #expect(steps(.configMaps, .delete) == [])
        #expect(steps(.events, .create) == ["NamespaceLifecycle"])
        #expect(steps(.leases, .update) == ["NodeRestriction"])
        #expect(steps(.pods, .update, "status") == ["NodeRestriction"])
        #expect(steps(.pods, .update, "ephemeralcontainers").contains("ServiceAccountAdmission"))
        #expect(steps(.deployments, .update) == ["PodSecurity"])
        #expect(steps(.namespaces, .delete, isNamespaced: false) == ["NamespaceLifecycle"])
        #expect(steps(.nodes, .create, isNamespaced: false) == ["NodeRestriction", "TaintNodesByCondition"])
    }

    @Test func podsAreLookedAtInKubernetesOrder() {
        #expect(
            steps(.pods, .create) == [
                "NamespaceLifecycle", "LimitRanger", "ServiceAccountAdmission", "NodeRestriction", "PodSecurity",
                "PriorityAdmission", "DefaultTolerationSeconds", "RuntimeClassAdmission", "PodTopologyLabels",
                "ResourceQuotaAdmission",
            ])
        #expect(steps(.pods, .create, "binding") == ["NamespaceLifecycle", "NodeRestriction", "PodTopologyLabels"])
    }
}
