// Arithmetic on numbers that others chose (fields and quantities of API objects). Swift's operators end the process
// where a result does not fit, and what an object says stays in the store: noded would end at every start. Here the
// nearest number that fits is the result; it cannot fail.

extension FixedWidthInteger {
    /// The sum, or the largest or smallest number when it lies beyond.
    public func addingSaturated(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    /// The product, or the largest or smallest number when it lies beyond.
    public func multipliedSaturated(by other: Self) -> Self {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
    }
}
