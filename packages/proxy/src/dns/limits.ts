/** No name is asked for more often, whatever the configuration says: somebody else has to answer. */
export const dnsRefreshMsMin = 100;
