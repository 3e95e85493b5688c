// What TON Center's Emulation API v1 tells beside API v3 (docs.ton.org/api/emulate): what would follow from a request of
// a usual wallet. The wallet's request is composed without a signature and executed by the same machine as everything
// else here, with signatures taken as right; nothing of it stays.
'use strict';
const core = require('@ton/core');
const { Address, Cell, beginCell } = core;

const HOPS_MAX = 32;
// Hashes of the wallets' code (docs.ton.org, "Wallet contracts"): v3r1, v3r2, v4r1, v4r2, v5r1.
const KINDS = {
  'thBBpYp5gLlG6PueGY48kE0keZ/6NldOpCUcQaVm9YE=': v3, 'hNr6RJ+Ypph3ibojI1gHK8D3bcRSQAKl0JGLmnXS1Zk=': v3,
  'ZN1UgFUixb6KnbWc6gEFzPDQh4bKeb64y3nogKjXMi0=': v4, '/rX/aCDi/w2Ug+fg1iyBfYRniftK5YDIeIZtlZ2r1cA=': v4,
  'IINLe3KxEhR+Gy+0V7hOdNGjDwT3N9T2KmaOlVLSty8=': v5,
};
const MODE = 3; // fees apart, and what fails is skipped

function v3(data, until, messages) {
  return ordinary(data, until, messages, (body) => body);
}

function v4(data, until, messages) {
  return ordinary(data, until, messages, (body) => body.storeUint(0, 8));
}

function ordinary(data, until, messages, operation) {
  const [seqno, subwallet] = [data.loadUint(32), data.loadUint(32)];
  const body = beginCell().storeBuffer(Buffer.alloc(64)).storeUint(subwallet, 32).storeUint(until, 32).storeUint(seqno, 32);
  operation(body);
  for (const message of messages) body.storeUint(MODE, 8).storeRef(message);
  return body.endCell();
}

function v5(data, until, messages) {
  data.loadBit();
  const [seqno, walletId] = [data.loadUint(32), data.loadUint(32)];
  let actions = beginCell().endCell();
  for (const message of messages) {
    actions = beginCell().storeRef(actions).storeUint(0x0ec3c86d, 32).storeUint(MODE, 8).storeRef(message).endCell();
  }
  const body = beginCell().storeUint(0x7369676e, 32).storeUint(walletId, 32).storeUint(until, 32).storeUint(seqno, 32);
  return body.storeMaybeRef(actions).storeBit(0).storeBuffer(Buffer.alloc(64)).endCell();
}

function compose(account, until, messages, refuse) {
  const state = account?.storage.state;
  if (state?.type !== 'active') refuse('Failed to fetch account state: Account not found in accounts_dict');
  const build = KINDS[state.state.code.hash().toString('base64')];
  if (build === undefined) refuse('unsupported wallet');
  const sent = messages.map(({ address, amount, payload }) => {
    const body = payload ? Cell.fromBase64(payload) : undefined;
    const message = core.internal({ to: Address.parse(address), value: BigInt(amount), bounce: true, body });
    return beginCell().store(core.storeMessageRelaxed(message)).endCell();
  });
  const body = build(state.state.data.beginParse(), until, sent);
  return beginCell().store(core.storeMessage(core.external({ to: account.addr, body }), { forceRef: true })).endCell();
}

// `network` is changed in nothing: the executions go into a copy that begins with its accounts.
async function emulateTonConnect(network, { from, messages, include_code_data: withCells }, refuse) {
  const raw = Address.parse(from).toRawString();
  const trial = Object.create(network, {
    accounts: { value: new Map(network.accounts) }, history: { value: new Map() }, byHash: { value: new Map() },
    byMessage: { value: new Map() }, lt: { value: network.lt, writable: true }, ignoresSignatures: { value: true },
  });
  let wave = [{ cell: compose(network.get(raw), network.now() + 60, messages, refuse) }];
  const cells = {};
  for (let hop = 0; wave.length && hop < HOPS_MAX; hop++) {
    const next = [];
    for (const item of wave) {
      next.push(...(await trial.run(item)));
      const target = core.loadMessage(item.cell.beginParse()).info.dest.toRawString();
      const state = trial.get(target)?.storage.state;
      if (state?.type === 'active') cells[state.state.data.hash().toString('base64')] = state.state.data.toBoc().toString('base64');
    }
    wave = next;
  }
  if (!trial.byHash.size) refuse('Failed to emulate trace: external message was not accepted');
  const told = [...trial.byHash.values()].map((tx) => ({ ...tx, emulated: true, prev_trans_hash: tx.prev_trans_lt === '0' ? null : tx.prev_trans_hash }));
  return {
    mc_block_seqno: network.seqno, transactions: Object.fromEntries(told.map((tx) => [tx.hash, tx])), is_incomplete: wave.length > 0,
    ...(withCells && { code_cells: {}, data_cells: cells }),
  };
}

module.exports = { emulateTonConnect };
