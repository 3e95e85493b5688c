// EDR, the EVM implementation of the Hardhat project (in Rust, beside the revm of anvil), behind HTTP on loopback.
//
//   node edr.js <chain id> <hardfork>     prints "Listening on 127.0.0.1:<port>"
//
// What it is not: it has no eth_getBlockReceipts and no state overrides in eth_estimateGas, so the adapter does not run
// on it. It is here because it charges EIP-7702 as the specification says.
'use strict';
const http = require('node:http');
const edr = require('@nomicfoundation/edr-linux-x64-gnu');

const [chainId, hardfork] = [BigInt(process.argv[2]), process.argv[3]];
const KEY = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'; // the first account of every devnet
const RICH = { address: Buffer.from('f39fd6e51aad88f6f4ce6ab8827279cfffb92266', 'hex'), balance: 10n ** 24n };
const PROXY = { // the deterministic deployment proxy, which every public chain has
  address: Buffer.from('4e59b44847b379578588920ca78fbf26c0b4956c', 'hex'),
  code: Buffer.from(
    '7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0' +
      '3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3',
    'hex',
  ),
};
const GAS = 60_000_000n;

async function provider() {
  const context = new edr.EdrContext();
  await context.registerProviderFactory(edr.L1_CHAIN_TYPE, edr.l1ProviderFactory());
  const settings = {
    allowBlocksWithSameTimestamp: false,
    allowUnlimitedContractSize: false,
    bailOnCallFailure: false,
    bailOnTransactionFailure: false,
    chainId,
    coinbase: new Uint8Array(20),
    defaultTransactionGasLimit: 3_000_000n,
    genesisState: [...edr.l1GenesisState(edr.l1HardforkFromString(hardfork)), RICH, PROXY],
    hardfork,
    initialBaseFeePerGas: 1_000_000_000n,
    minGasPrice: 0n,
    mining: { autoMine: false, blockGasLimit: GAS, memPool: { order: 'Priority' } },
    network: { genesisBlockGasLimit: GAS },
    networkId: chainId,
    observability: {},
    ownedAccounts: [KEY],
    precompileOverrides: [],
  };
  const quiet = { enable: false, decodeConsoleLogInputsCallback: () => [], printLineCallback: () => {} };
  const deaf = { subscriptionCallback: () => {} };
  return context.createProvider(edr.L1_CHAIN_TYPE, settings, quiet, deaf, new edr.ContractDecoder());
}

provider().then((node) => {
  const answer = async (call) => {
    const { data } = await node.handleRequest(JSON.stringify(call));
    return { jsonrpc: '2.0', id: call.id, ...(typeof data === 'string' ? JSON.parse(data) : data) };
  };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await answer(JSON.parse(Buffer.concat(parts)))));
  });
  server.listen(0, '127.0.0.1', () => console.log(`Listening on 127.0.0.1:${server.address().port}`));
});
