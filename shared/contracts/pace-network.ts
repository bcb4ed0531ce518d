/** The network whose runs tell the pace of a machine. Loads no schema library: processes that run it should start quickly. */

/** Name of the network: a changed one gets another, since times of different ones are not compared. */
export const REFERENCE_NETWORK = 'reference-1'
export const REFERENCE_INPUT = [1, 3, 80, 80] as const
